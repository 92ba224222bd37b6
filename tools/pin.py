"""Pins requirements: `python -m tools.pin PATH_TO_UV` writes requirements/*.txt anew from pyproject.toml.

The files name no package index, so that they work with whichever one a machine is set up for.
"""

import subprocess
import sys
from pathlib import Path

FILES = {
    "dev": ["pyproject.toml", "--extra", "demo", "--group", "dev"],
    "demo": ["pyproject.toml", "--extra", "demo"],
    "openvino": ["pyproject.toml", "--extra", "openvino", "--extra", "demo", "--group", "dev"],
    "run": ["pyproject.toml"],
    "mutation": ["--group", "mutation"],
    "quix": ["--group", "quix"],
}

APART = {"dev", "openvino", "quix"}
"""Not within the versions of others, so in environments of their own: nncf is behind with numpy, Quix with rich."""


def main() -> None:
    """Compile each file; the smaller ones within the versions of the largest."""
    common = [sys.argv[1], "pip", "compile", "--upgrade", "--universal", "--python-version", "3.11"]
    plain = ["--no-emit-index-url", "--no-header", "--no-annotate", "--quiet"]
    for name, selection in FILES.items():
        output = Path("requirements") / f"{name}.txt"
        constraint = [] if name in APART else ["--constraint", "requirements/dev.txt"]
        subprocess.run([*common, *plain, *selection, *constraint, "--output-file", str(output)], check=True)
        print(f"{output}: {len(output.read_text(encoding='utf-8').splitlines())} packages")


if __name__ == "__main__":
    main()
