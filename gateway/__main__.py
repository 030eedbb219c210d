"""Where the program begins: `mqttgateway`, or `python -m gateway`. What it imports comes after the signals."""

from __future__ import annotations

import sys

from gateway.early_signals import EarlySignals


def main() -> int:
    """Run the command line of this process; return the exit code."""
    signals = EarlySignals()
    from gateway.cli.main import main as run  # takes a tenth of a second

    return run(signals=signals)


if __name__ == "__main__":
    sys.exit(main())
