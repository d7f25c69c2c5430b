"""The label map's classes: CelebAMask-HQ's. L, R: the person's; the person's left is the image's right half."""

from components.tasks.segmentation.label_maps import CELEBAMASK_PARTS as LABELS

(
    BACKGROUND,
    SKIN,
    NOSE,
    EYEGLASSES,
    LEFT_EYE,
    RIGHT_EYE,
    LEFT_BROW,
    RIGHT_BROW,
    LEFT_EAR,
    RIGHT_EAR,
    MOUTH,
    UPPER_LIP,
    LOWER_LIP,
    HAIR,
    HAT,
    EARRING,
    NECKLACE,
    NECK,
    CLOTH,
) = range(len(LABELS))
