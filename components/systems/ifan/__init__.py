"""iFAN (Li et al. 2017): cross-dataset hybrid training, and what each iteration answers."""
