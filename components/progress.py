"""How often whatever takes long says how far it is."""

REFRESH_SECONDS = 1.0  # on a terminal, where a line is drawn anew
LINE_SECONDS = 10.0  # elsewhere, where each is a line of its own
