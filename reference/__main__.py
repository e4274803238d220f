"""``python -m reference``: write the reference into the repository."""

from __future__ import annotations

import sys
from pathlib import Path

from reference.files import files

ROOT = Path(__file__).resolve().parents[1]


def main() -> None:
    """Write every file whose content changed, and print its path."""
    for path, text in files().items():
        target = ROOT / path
        if not target.exists() or target.read_text(encoding="utf-8") != text:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text, encoding="utf-8")
            sys.stdout.write(f"wrote {path}\n")


if __name__ == "__main__":
    main()
