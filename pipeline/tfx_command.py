"""The tfx command, told of Ctrl-C in a line from the start: importing TFX takes seconds.

python -m pipeline.tfx_command run create --engine local --pipeline_name facetfx
"""

from pipeline import interruption

if __name__ == "__main__":
    interruption.end_in_a_line()
    from tfx.tools.cli.cli_main import cli_group

    cli_group(prog_name="tfx")
