"""Writes the files."""

import json

from tests.chaos.verdict.cases import CASES, DIRECTORY, REPORTED


def main() -> None:
    """Write the files."""
    index = {}
    for case in CASES.values():
        path = DIRECTORY / case.folder / f"{case.name}.jsonl"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(case.text())
        index[f"{case.folder}/{case.name}.jsonl"] = {"verdict": case.verdict, "not_valid": case.checks}
    for name, checks in REPORTED.items():
        verdict = "invalid" if "invalid" in checks.values() else "unknown"
        index[f"reported/{name}.jsonl"] = {"verdict": verdict, "not_valid": checks}
    (DIRECTORY / "index.json").write_text(json.dumps(index, indent=1) + "\n")


if __name__ == "__main__":
    main()
