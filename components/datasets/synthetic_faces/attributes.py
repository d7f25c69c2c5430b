"""What a synthetic face is like: 40 attributes with CelebA's names and, roughly, its frequencies and correlations.

An ancestral model: sex and age first, then what depends on them, then what depends on that. The probabilities are
rounded from CelebA's published labels; where CelebA's annotators were inconsistent (No_Beard with a goatee, two
hair colours) the model isn't, because the renderer must be able to show every label.
"""

from __future__ import annotations

import numpy as np

from components.datasets.garments import GARMENTS
from keras_models.attributes import CELEBA_ATTRIBUTES

ATTRIBUTES = CELEBA_ATTRIBUTES

# FER2013's classes.
EMOTIONS = ("angry", "disgust", "fear", "happy", "neutral", "sad", "surprise")

# The indices of the garments that begin above the waist: no others are drawn.
CLOTHING = GARMENTS
CLOTHES = {name: CLOTHING.index(name) for name in ("dress", "longsleeve", "outwear", "shirt", "t-shirt")}

_MALE = 0.42
_YOUNG = {"female": 0.88, "male": 0.64}

_GIVEN_SEX_AND_AGE = {
    #                    women        men
    #                    young older  young older
    "Smiling": (0.50, 0.66, 0.38, 0.43),
    "Bags_Under_Eyes": (0.09, 0.20, 0.27, 0.46),
    "Bald": (0.00, 0.00, 0.02, 0.11),
    "Big_Lips": (0.30, 0.20, 0.19, 0.11),
    "Big_Nose": (0.08, 0.19, 0.32, 0.58),
    "Blurry": (0.05, 0.06, 0.05, 0.06),
    "Bushy_Eyebrows": (0.08, 0.02, 0.30, 0.12),
    "Chubby": (0.01, 0.05, 0.05, 0.24),
    "Eyeglasses": (0.02, 0.08, 0.07, 0.22),
    "Heavy_Makeup": (0.68, 0.48, 0.00, 0.00),
    "Narrow_Eyes": (0.11, 0.13, 0.10, 0.13),
    "Oval_Face": (0.32, 0.22, 0.28, 0.19),
    "Pale_Skin": (0.06, 0.05, 0.03, 0.02),
    "Pointy_Nose": (0.36, 0.31, 0.16, 0.14),
    "Wearing_Hat": (0.03, 0.03, 0.08, 0.08),
    "Wearing_Necklace": (0.17, 0.30, 0.02, 0.01),
    "Wearing_Necktie": (0.00, 0.00, 0.10, 0.29),
}

_HAIR_COLOURS = {  # the rest has another colour: red
    "Black_Hair": (0.24, 0.12, 0.39, 0.19),
    "Blond_Hair": (0.24, 0.32, 0.03, 0.02),
    "Brown_Hair": (0.24, 0.20, 0.20, 0.10),
    "Gray_Hair": (0.00, 0.10, 0.01, 0.26),
}
_HAIR_TEXTURES = {  # the rest is neither
    "Straight_Hair": (0.21, 0.12, 0.23, 0.20),
    "Wavy_Hair": (0.45, 0.50, 0.16, 0.13),
}
_FOREHEADS = {  # the rest has an ordinary hairline
    "Bangs": (0.20, 0.34, 0.08, 0.03),
    "Receding_Hairline": (0.05, 0.05, 0.07, 0.26),
}

_BEARD_OF_A_MAN = 0.42
_BEARDS = {
    ("5_o_Clock_Shadow",): 0.38,
    ("5_o_Clock_Shadow", "Sideburns"): 0.10,
    ("5_o_Clock_Shadow", "Goatee"): 0.04,
    ("5_o_Clock_Shadow", "Mustache"): 0.03,
    ("Goatee",): 0.10,
    ("Goatee", "Mustache"): 0.11,
    ("Goatee", "Sideburns"): 0.06,
    ("Goatee", "Mustache", "Sideburns"): 0.05,
    ("Mustache",): 0.05,
    ("Sideburns",): 0.08,
}

_EMOTIONS_UNSMILING = {  # given that the mouth is (closed, open)
    "angry": (0.14, 0.14),
    "disgust": (0.10, 0.10),
    "fear": (0.00, 0.24),
    "happy": (0.00, 0.00),
    "neutral": (0.56, 0.18),
    "sad": (0.20, 0.06),
    "surprise": (0.00, 0.28),
}

_CLOTHES_OF = {  # of women, of men, under a necktie
    "dress": (0.30, 0.00, 0.00),
    "longsleeve": (0.20, 0.22, 0.00),
    "outwear": (0.16, 0.22, 0.60),
    "shirt": (0.12, 0.26, 0.40),
    "t-shirt": (0.22, 0.30, 0.00),
}


def draw_attributes(rng: np.random.Generator) -> frozenset[str]:
    """The names of the attributes that one face has."""
    male = _flip(rng, _MALE)
    young = _flip(rng, _YOUNG["male" if male else "female"])
    group = 2 * male + (not young)

    has = {name for name, odds in _GIVEN_SEX_AND_AGE.items() if _flip(rng, odds[group])}
    has |= {name for name, yes in (("Male", male), ("Young", young)) if yes}

    def add(name: str, probability: float):
        if _flip(rng, probability):
            has.add(name)

    smiling, makeup = "Smiling" in has, "Heavy_Makeup" in has
    cheekbones = 0.80 if smiling else 0.14
    add("High_Cheekbones", cheekbones * (0.9 if male else 1.06))
    add("Mouth_Slightly_Open", 0.78 if smiling else 0.22)
    add("Wearing_Lipstick", 0.97 if makeup else 0.0 if male else 0.44)
    add("Arched_Eyebrows", 0.55 if makeup else 0.05 if male else 0.22)
    add("Rosy_Cheeks", 0.0 if male or "Pale_Skin" in has else 0.19 if makeup else 0.03)
    add("Double_Chin", 0.55 if "Chubby" in has else 0.01 if young else 0.08)
    earrings = (0.25, 0.42, 0.02, 0.01)[group]
    add("Wearing_Earrings", min(1.0, 1.7 * earrings) if "Wearing_Necklace" in has else earrings)

    if "Bald" in has:
        has.discard("Wearing_Hat")
    else:
        for family in (_HAIR_COLOURS, _HAIR_TEXTURES):
            has |= _choose_or_none(rng, family, group)
        if "Wearing_Hat" not in has:
            has |= _choose_or_none(rng, _FOREHEADS, group)

    if male and _flip(rng, _BEARD_OF_A_MAN):
        kinds = list(_BEARDS)
        has |= set(kinds[rng.choice(len(kinds), p=list(_BEARDS.values()))])
    else:
        has.add("No_Beard")

    add("Attractive", _attractiveness(has))
    return frozenset(has)


def draw_emotion(rng: np.random.Generator, attributes: frozenset[str]) -> int:
    """Index in EMOTIONS: who smiles is happy, and nobody else; fear and surprise open the mouth."""
    if "Smiling" in attributes:
        return EMOTIONS.index("happy")
    mouth_open = "Mouth_Slightly_Open" in attributes
    return int(rng.choice(len(EMOTIONS), p=[_EMOTIONS_UNSMILING[name][mouth_open] for name in EMOTIONS]))


def draw_clothing(rng: np.random.Generator, attributes: frozenset[str]) -> int:
    """One of CLOTHES' indices; a necktie asks for a shirt or a jacket."""
    column = 2 if "Wearing_Necktie" in attributes else int("Male" in attributes)
    names = list(_CLOTHES_OF)
    return CLOTHES[names[rng.choice(len(names), p=[_CLOTHES_OF[name][column] for name in names])]]


def _attractiveness(has: set[str]) -> float:
    """Logistic in what CelebA's annotators favoured."""
    weights = {
        "Young": 1.7,
        "Heavy_Makeup": 1.7,
        "Male": -0.2,
        "Oval_Face": 0.6,
        "Arched_Eyebrows": 0.3,
        "High_Cheekbones": 0.3,
        "Chubby": -2.0,
        "Double_Chin": -1.0,
        "Big_Nose": -0.8,
        "Bags_Under_Eyes": -0.5,
        "Eyeglasses": -1.2,
        "Bald": -1.0,
        "Blurry": -1.0,
    }
    score = -2.1 + sum(weight for name, weight in weights.items() if name in has)
    return float(1 / (1 + np.exp(-score)))


def _flip(rng: np.random.Generator, probability: float) -> bool:
    return bool(rng.random() < probability)


def _choose_or_none(rng: np.random.Generator, family: dict[str, tuple], group: int) -> set[str]:
    """At most one of the family's names."""
    level = rng.random()
    for name, odds in family.items():
        if level < odds[group]:
            return {name}
        level -= odds[group]
    return set()
