"""The entry point of the program: `mqttgateway`, or `python -m gateway`. It installs the signal handlers first."""

from __future__ import annotations

import sys

from gateway.early_signals import EarlySignals


def main() -> int:
    """Run the command line of this process; return the exit code."""
    signals = EarlySignals()
    from gateway.cli.main import main as run  # after the handlers are installed, because it takes 0.1 s

    return run(signals=signals)


if __name__ == "__main__":
    sys.exit(main())
