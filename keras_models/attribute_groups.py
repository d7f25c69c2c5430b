"""The eight parts of a face and the CelebA attributes that belong to each (MGG-Net, Section 3.1).

The paper names the parts but not their members: this assignment is ours.
"""

PART_GROUPS = {
    "eyes": ("Arched_Eyebrows", "Bags_Under_Eyes", "Bushy_Eyebrows", "Eyeglasses", "Narrow_Eyes"),
    "nose": ("Big_Nose", "Pointy_Nose"),
    "mouth": ("Big_Lips", "Mouth_Slightly_Open", "Smiling", "Wearing_Lipstick"),
    "hairline": ("Bald", "Bangs", "Receding_Hairline"),
    "around head": (
        "Black_Hair",
        "Blond_Hair",
        "Brown_Hair",
        "Gray_Hair",
        "Straight_Hair",
        "Wavy_Hair",
        "Wearing_Hat",
        "Wearing_Earrings",
    ),
    "middle face": (
        "High_Cheekbones",
        "Rosy_Cheeks",
        "Sideburns",
        "5_o_Clock_Shadow",
        "Goatee",
        "Mustache",
        "No_Beard",
    ),
    "neck": ("Double_Chin", "Wearing_Necklace", "Wearing_Necktie"),
    "whole face": ("Attractive", "Blurry", "Chubby", "Heavy_Makeup", "Male", "Oval_Face", "Pale_Skin", "Young"),
}
