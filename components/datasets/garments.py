"""Garments that more than one data set tells apart."""

# The ten kinds of the public-domain "clothing dataset (subset)".
GARMENTS = ("dress", "hat", "longsleeve", "outwear", "pants", "shirt", "shoes", "shorts", "skirt", "t-shirt")
