import dataclasses
import io

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from components.datasets import builder_class
from components.datasets.synthetic_faces import SyntheticFaces
from components.datasets.synthetic_faces.attributes import ATTRIBUTES, CLOTHES, EMOTIONS, draw_attributes
from components.datasets.synthetic_faces.face import draw_face
from components.datasets.synthetic_faces.renderer import render
from components.tasks.segmentation.label_maps import CELEBAMASK_PARTS

# Positive rate of each attribute over CelebA's 202,599 images.
CELEBA_FREQUENCIES = dict(
    zip(
        ATTRIBUTES,
        (
            *(0.111, 0.267, 0.513, 0.205, 0.022, 0.152, 0.241, 0.235, 0.239, 0.148),
            *(0.051, 0.205, 0.142, 0.058, 0.047, 0.065, 0.063, 0.042, 0.387, 0.455),
            *(0.417, 0.483, 0.042, 0.115, 0.835, 0.284, 0.043, 0.277, 0.080, 0.066),
            *(0.057, 0.482, 0.208, 0.320, 0.189, 0.048, 0.472, 0.123, 0.073, 0.774),
        ),
        strict=True,
    )
)

PLAIN = frozenset({"No_Beard", "Young", "Brown_Hair"})


@pytest.fixture(scope="module")
def population():
    """[6000, 40] booleans."""
    rng = np.random.default_rng(0)
    return np.array([[name in has for name in ATTRIBUTES] for has in (draw_attributes(rng) for _ in range(6000))])


@pytest.fixture(scope="module")
def drawn():
    """120 random faces with their renderings."""
    faces = [draw_face(np.random.default_rng([3, i])) for i in range(120)]
    return [(face, render(face, 128)) for face in faces]


def column(population, name):
    return population[:, ATTRIBUTES.index(name)]


def frontal(attributes=PLAIN, emotion="neutral", clothing="t-shirt"):
    """A face that looks straight ahead; with the same look whatever the attributes."""
    face = draw_face(np.random.default_rng(1))
    look = dataclasses.replace(
        face.look, yaw=0.0, pitch=0.0, roll=0.0, tone=0.2, light=(1, 1, 1), hairstyle=0.2, hat=0.2
    )
    return dataclasses.replace(
        face,
        attributes=frozenset(attributes),
        emotion=EMOTIONS.index(emotion),
        clothing=CLOTHES[clothing],
        look=look,
    )


def change(without, having):
    """[128, 128] mean absolute difference between two faces' images."""
    images = [render(face, 128).image.astype(float) for face in (without, having)]
    return np.abs(images[0] - images[1]).mean(-1)


class TestAttributes:
    def test_frequencies_are_near_celeba(self, population):
        expected = np.array(list(CELEBA_FREQUENCIES.values()))
        np.testing.assert_allclose(population.mean(0), expected, atol=0.06)

    @pytest.mark.parametrize(
        ("one", "other", "sign"),
        [
            ("Male", "Heavy_Makeup", -1),
            ("Male", "Wearing_Lipstick", -1),
            ("Male", "Wearing_Earrings", -1),
            ("Male", "No_Beard", -1),
            ("Male", "Goatee", 1),
            ("Male", "Bald", 1),
            ("Male", "Wearing_Necktie", 1),
            ("Heavy_Makeup", "Wearing_Lipstick", 1),
            ("Young", "Gray_Hair", -1),
            ("Young", "Attractive", 1),
            ("Chubby", "Double_Chin", 1),
            ("Smiling", "High_Cheekbones", 1),
            ("Smiling", "Mouth_Slightly_Open", 1),
            ("Goatee", "Mustache", 1),
            ("Wearing_Earrings", "Wearing_Necklace", 1),
        ],
    )
    def test_correlations_have_the_sign_they_have_in_life(self, population, one, other, sign):
        correlation = np.corrcoef(column(population, one), column(population, other))[0, 1]
        assert sign * correlation > 0.08

    @pytest.mark.parametrize(
        "names",
        [
            ("Black_Hair", "Blond_Hair", "Brown_Hair", "Gray_Hair", "Bald"),
            ("Straight_Hair", "Wavy_Hair", "Bald"),
            ("Bangs", "Receding_Hairline", "Bald", "Wearing_Hat"),
            ("Pale_Skin", "Rosy_Cheeks"),
        ],
    )
    def test_at_most_one_of(self, population, names):
        assert sum(column(population, name).astype(int) for name in names).max() == 1

    def test_no_beard_is_the_absence_of_every_kind(self, population):
        kinds = np.any(
            [column(population, name) for name in ("5_o_Clock_Shadow", "Goatee", "Mustache", "Sideburns")], axis=0
        )
        np.testing.assert_array_equal(kinds, ~column(population, "No_Beard"))

    def test_who_smiles_is_happy_and_nobody_else(self, drawn):
        for face, _ in drawn:
            assert face.has("Smiling") == (face.mood == "happy")

    def test_a_necktie_goes_with_a_collar(self, drawn):
        collars = {CLOTHES["shirt"], CLOTHES["outwear"]}
        assert all(face.clothing in collars for face, _ in drawn if face.has("Wearing_Necktie"))


class TestLandmarks:
    def test_are_68_inside_the_image(self, drawn):
        for _, rendering in drawn:
            assert rendering.landmarks.shape == (68, 2)
            assert rendering.landmarks.dtype == np.float32
            assert rendering.landmarks.min() > 0
            assert rendering.landmarks.max() < 1

    @pytest.mark.parametrize(
        ("points", "names"),
        [
            (range(36, 42), {"r_eye"}),
            (range(42, 48), {"l_eye"}),
            (range(17, 22), {"r_brow", "eye_g", "hair", "hat"}),  # rims, bangs and peaks hide brows
            (range(22, 27), {"l_brow", "eye_g", "hair", "hat"}),
            (range(27, 36), {"nose", "eye_g"}),
            (range(49, 54), {"u_lip"}),
            (range(55, 60), {"l_lip"}),
            ((48, 54, *range(60, 68)), {"u_lip", "l_lip", "mouth"}),
            (range(17), {"skin", "eye_g", "hair"}),
        ],
    )
    def test_lie_on_what_they_are_called_after_in_every_pose(self, drawn, points, names):
        for _, rendering in drawn:
            wanted = np.isin(rendering.labels, [CELEBAMASK_PARTS.index(name) for name in names])
            distance = ndimage.distance_transform_edt(~wanted)
            x, y = np.floor(rendering.landmarks[list(points)] * 128).astype(int).T
            assert distance[y, x].max() <= 2.0

    def test_of_the_eyes_surround_them(self, drawn):
        for face, rendering in drawn:
            for points, label in ((slice(36, 42), "r_eye"), (slice(42, 48), "l_eye")):
                x, y = np.floor(rendering.landmarks[points].mean(0) * 128).astype(int)
                assert CELEBAMASK_PARTS[rendering.labels[y, x]] == label, face

    def test_persons_right_comes_first_and_jaw_runs_across(self, drawn):
        for _, rendering in drawn:
            x, y = rendering.landmarks.T
            assert x[36] < x[39] < x[42] < x[45]
            assert np.all(x[:8] < x[8]) and np.all(x[8] < x[9:17])
            assert y[8] > y[57] > y[33] > y[27]

    def test_open_mouth_parts_the_inner_lips(self):
        closed, opened = (render(frontal(a), 128).landmarks for a in (PLAIN, PLAIN | {"Mouth_Slightly_Open"}))
        assert closed[66, 1] - closed[62, 1] == pytest.approx(0, abs=1e-6)
        assert opened[66, 1] - opened[62, 1] > 0.02

    def test_smile_lifts_the_corners(self):
        calm, smiling = render(frontal(), 128), render(frontal(PLAIN | {"Smiling"}, "happy"), 128)

        def lift(rendering):
            return rendering.landmarks[57, 1] - rendering.landmarks[[48, 54], 1].mean()

        assert lift(smiling) > lift(calm) + 0.02


class TestLabelMap:
    def test_every_class_occurs_and_no_other(self, drawn):
        seen = np.unique(np.concatenate([np.unique(rendering.labels) for _, rendering in drawn]))
        np.testing.assert_array_equal(seen, np.arange(19))

    def test_has_the_size_of_the_image(self):
        rendering = render(frontal(), 96)
        assert rendering.image.shape == (96, 96, 3)
        assert rendering.labels.shape == (96, 96)

    @pytest.mark.parametrize(
        ("attribute", "label"),
        [
            ("Eyeglasses", "eye_g"),
            ("Wearing_Hat", "hat"),
            ("Wearing_Earrings", "ear_r"),
            ("Wearing_Necklace", "neck_l"),
            ("Mouth_Slightly_Open", "mouth"),
        ],
    )
    def test_a_class_occurs_with_its_attribute_alone(self, drawn, attribute, label):
        for face, rendering in drawn:
            assert (CELEBAMASK_PARTS.index(label) in rendering.labels) == face.has(attribute)

    def test_a_bald_head_has_no_hair(self):
        assert CELEBAMASK_PARTS.index("hair") not in render(frontal({"Male", "No_Beard", "Young", "Bald"}), 128).labels


class TestImage:
    # Windows are x0, y0, x1, y1 relative to the eyes' middle, in widths of the image.
    FOREHEAD, EYES, CHEEKS = (-0.25, -0.40, 0.25, -0.04), (-0.24, -0.16, 0.24, 0.10), (-0.24, 0.0, 0.24, 0.25)
    NOSE, MOUTH, JAW = (-0.12, -0.05, 0.12, 0.18), (-0.15, 0.10, 0.15, 0.30), (-0.27, -0.10, 0.27, 0.40)
    HEAD, CHEST, EARS = (-0.36, -0.43, 0.36, 0.57), (-0.3, 0.30, 0.3, 0.57), (-0.36, -0.1, 0.36, 0.30)

    @pytest.mark.parametrize(
        ("attribute", "window"),
        [
            ("5_o_Clock_Shadow", JAW),
            ("Arched_Eyebrows", EYES),
            ("Bags_Under_Eyes", CHEEKS),
            ("Bald", HEAD),
            ("Bangs", FOREHEAD),
            ("Big_Lips", MOUTH),
            ("Big_Nose", CHEEKS),
            ("Black_Hair", HEAD),
            ("Blond_Hair", HEAD),
            ("Bushy_Eyebrows", EYES),
            ("Chubby", JAW),
            ("Double_Chin", JAW),
            ("Eyeglasses", EYES),
            ("Goatee", JAW),
            ("Gray_Hair", HEAD),
            ("Heavy_Makeup", EYES),
            ("High_Cheekbones", JAW),
            ("Mouth_Slightly_Open", JAW),
            ("Mustache", MOUTH),
            ("Narrow_Eyes", EYES),
            ("Oval_Face", JAW),
            ("Pale_Skin", HEAD),
            ("Pointy_Nose", NOSE),
            ("Receding_Hairline", FOREHEAD),
            ("Rosy_Cheeks", CHEEKS),
            ("Sideburns", JAW),
            ("Smiling", JAW),
            ("Straight_Hair", HEAD),
            ("Wavy_Hair", HEAD),
            ("Wearing_Earrings", EARS),
            ("Wearing_Hat", FOREHEAD),
            ("Wearing_Lipstick", MOUTH),
            ("Wearing_Necklace", CHEST),
            ("Wearing_Necktie", CHEST),
        ],
    )
    def test_an_attribute_changes_its_place(self, attribute, window):
        colours = {"Black_Hair", "Blond_Hair", "Brown_Hair", "Gray_Hair"}
        base = PLAIN | ({"Male"} if attribute in {"5_o_Clock_Shadow", "Bald", "Goatee", "Wearing_Necktie"} else set())
        having = (base - colours if attribute in colours else base) | {attribute}
        emotion = "happy" if attribute == "Smiling" else "neutral"
        without = frontal(base, clothing="shirt")
        difference = change(without, frontal(having, emotion, clothing="shirt"))

        centre = np.array(without.look.centre)
        x0, y0, x1, y1 = np.clip(np.round(128 * (np.array(window) + np.tile(centre, 2))), 0, 128).astype(int)
        within = difference[y0:y1, x0:x1]
        assert (within > 12).sum() >= 30
        assert within.sum() >= 0.9 * difference.sum()

    @pytest.mark.parametrize("attribute", ["Male", "Young"])
    def test_sex_and_age_change_the_face(self, attribute):
        assert (change(frontal(PLAIN - {attribute}), frontal(PLAIN | {attribute})) > 12).sum() >= 100

    def test_attractive_is_symmetric(self):
        def skew(attributes):
            points = render(frontal(attributes), 128).landmarks
            return abs(points[36, 1] - points[45, 1])

        assert skew(PLAIN | {"Attractive"}) < 1e-6 < skew(PLAIN)

    def test_blurry_has_no_edges(self):
        def sharpness(attributes):
            return np.abs(np.diff(render(frontal(attributes), 128).image.astype(float), axis=0)).max()

        assert sharpness(PLAIN | {"Blurry"}) < 0.6 * sharpness(PLAIN)

    @pytest.mark.parametrize("emotion", [name for name in EMOTIONS if name not in ("neutral", "happy")])
    def test_emotions_differ_from_neutral(self, emotion):
        assert (change(frontal(), frontal(emotion=emotion)) > 12).sum() >= 60

    def test_clothes_differ(self):
        images = [render(frontal(clothing=name), 128).image[96:].astype(float) for name in CLOTHES]
        for i, one in enumerate(images):
            for other in images[:i]:
                assert (np.abs(one - other).mean(-1) > 12).sum() >= 300


class TestBuilder:
    @pytest.fixture
    def builder(self, tmp_path):
        return SyntheticFaces(num_train=4, num_validation=2, num_test=1, image_size=64, seed=5, data_dir=tmp_path)

    def test_is_registered(self):
        assert builder_class("synthetic_faces") is SyntheticFaces
        assert SyntheticFaces.name == "synthetic_faces"
        assert SyntheticFaces.ANNOTATIONS["emotion"].names == EMOTIONS

    def test_splits_share_no_record(self, builder):
        references = list(builder.references())
        assert [r.split for r in references] == ["train"] * 4 + ["validation"] * 2 + ["test"]
        assert len({r.payload for r in references}) == len({r.id for r in references}) == 7
        assert references[5].id == "synthetic-00000005"

    def test_record_is_complete(self, builder):
        builder.check()
        record = builder.load(next(builder.references()))
        image, parsing = Image.open(io.BytesIO(record.image)), Image.open(io.BytesIO(record.labels["parsing"]))
        assert (image.format, image.size, image.mode) == ("JPEG", (64, 64), "RGB")
        assert (parsing.format, parsing.size, parsing.mode) == ("PNG", (64, 64), "L")
        assert record.labels["attributes"].shape == (40,)
        assert set(record.labels["attributes"]) <= {0, 1}
        assert record.labels["landmarks"].shape == (68, 2)
        assert record.labels["emotion"] in range(len(SyntheticFaces.ANNOTATIONS["emotion"].names))
        assert record.labels["clothing"] in CLOTHES.values()
        assert record.dataset == "synthetic_faces"

    def test_same_arguments_same_bytes(self, builder, tmp_path):
        again = SyntheticFaces(num_train=9, image_size=64, seed=5, data_dir=tmp_path / "other")
        reference = list(builder.references())[3]
        one, other = builder.load(reference), again.load(reference)
        assert one.to_example() == other.to_example()
        reseeded = SyntheticFaces(image_size=64, seed=6, data_dir=tmp_path / "third")
        assert reseeded.load(reference).image != one.image

    @pytest.mark.parametrize("argument", ["num_train", "num_validation", "num_test", "image_size", "seed"])
    def test_fingerprint_tells_arguments_apart(self, tmp_path, argument):
        one, same = (SyntheticFaces(data_dir=tmp_path).fingerprint() for _ in range(2))
        assert one == same
        assert SyntheticFaces(data_dir=tmp_path, **{argument: 77}).fingerprint() != one

    def test_tensorflow_datasets_prepares_it(self, builder):
        builder.download_and_prepare()
        assert {name: split.num_examples for name, split in builder.info.splits.items()} == {
            "train": 4,
            "validation": 2,
            "test": 1,
        }
        for example in builder.as_dataset(split="train"):
            assert example["image"].shape == (64, 64, 3)
            assert example["attributes"].shape == (40,)
            assert example["landmarks"].shape == (136,)
            assert example["parsing"].shape == (1, 64, 64, 1)
            assert 0 <= example["emotion"] < 7
            assert int(example["clothing"]) in CLOTHES.values()
