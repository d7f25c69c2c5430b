"""DMM-CNN (Mao et al. 2020): its loss, adaptive thresholds and loss weights."""
