"""What the command line costs before it does anything: `stemma --help` beside a bare interpreter.

Both sides run interleaved in fresh processes; the medians' ratio is printed. Usage: python benchmarks/startup.py
"""

import shutil
import statistics
import subprocess
import sys
import time

ROUNDS = 21


def seconds(command: list[str]) -> float:
    """Wall time of one fresh process."""
    start = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


def main() -> None:
    """Print both medians and their ratio."""
    stemma = shutil.which("stemma", path=sys.exec_prefix + "/bin") or "stemma"
    commands = {"python -c pass": [sys.executable, "-c", "pass"], "stemma --help": [stemma, "--help"]}
    times: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(ROUNDS):
        for name, command in commands.items():
            times[name].append(seconds(command))
    medians = {name: statistics.median(values) for name, values in times.items()}
    for name, value in medians.items():
        print(f"{name:<16} {value * 1000:7.1f} ms")
    print(f"ratio            {medians['stemma --help'] / medians['python -c pass']:7.2f}  (limit 6)")


if __name__ == "__main__":
    main()
