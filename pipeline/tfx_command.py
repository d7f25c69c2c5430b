"""The tfx command, told of Ctrl-C in a line from the start: importing TFX takes seconds.

python -m pipeline.tfx_command run create --engine local --pipeline_name facetfx
"""

import signal

from pipeline import interruption

if __name__ == "__main__":
    interruption.end_in_a_line()
    from tfx.tools.cli.cli_main import cli_group

    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
        # The terminal interrupts the runner, too, which says where it stopped; tfx would kill it before it can.
        signal.signal(signal.SIGINT, lambda number, frame: None)
    cli_group(prog_name="tfx")
