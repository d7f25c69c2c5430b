"""What lies where beside a table of answers. Imports nothing: commands look at it before anything heavy."""

TABLES = (".csv", ".parquet")  # how a table's name ends
PARTS, MAPS = ".parts", ".maps"  # behind it, of the folders of what was answered so far and of label maps
FOLDERS = tuple(f"{table}{beside}" for table in TABLES for beside in (PARTS, MAPS))
