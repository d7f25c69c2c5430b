"""Fully-adaptive feature sharing (Lu et al. 2017): adaptive widening, and the tree that it finds."""
