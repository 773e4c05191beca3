"""Write the capability table of BATTERY.md from what was measured: ``python tools/battery_card.py`` (``--check``).

Its figures are those of battery/capability.json and capability_gemma3_270m.json (`battery_capability.py --json`).
"""

import argparse
import importlib
import json
import sys
from pathlib import Path

from battery.shipped import SHIPPED
from battery_rules import best
from make_battery import FUNCTIONS, OUTPUT

CARD = OUTPUT.with_name("BATTERY.md")
MEASURED = Path(__file__).parent / "battery"
BEGINS = "| function | task |"
RULE = 0.75
"""Score from which a rule is named."""


def table() -> str:
    """Return the table: a line a task, functions in the figure's order."""
    default, other = (
        {row["task"]: row for row in json.loads((MEASURED / name).read_text())}
        for name in ("capability.json", "capability_gemma3_270m.json")
    )
    lines = [
        f"{BEGINS} form | kind of answer | preferred to the foil | greedy answer right | done | Gemma 3 270M: "
        "preferred, greedy | done | a rule that does it | shipped |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for function in FUNCTIONS:
        for task in importlib.import_module(f"battery.{function}").TASKS:
            row, theirs, (rule, score) = default[task.name], other[task.name], best(task)
            cells = (
                function, task.name, task.form, task.kind, f"{row['preferred']:.2f}", f"{row['greedy']:.2f}",
                _yes(row["done"]), f"{theirs['preferred']:.2f}, {theirs['greedy']:.2f}", _yes(theirs["done"]),
                f"{rule} ({score:.2f})" if score >= RULE else "", _yes(task.name in SHIPPED),
            )  # fmt: skip
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _yes(is_so: bool) -> str:
    return "yes" if is_so else "no"


def card() -> str:
    """Return the card with the table as it should be; what stands after the table is kept."""
    text = CARD.read_text(encoding="utf-8")
    before, _, rest = text.partition(BEGINS)
    after = rest.partition("\n\n")[2]
    return before + table() + (f"\n{after}" if after else "")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="Only compare.")
    text = card()
    if parser.parse_args().check:
        same = CARD.read_text(encoding="utf-8") == text
        print("the same" if same else f"{CARD} differs: run python tools/battery_card.py")
        return 0 if same else 1
    CARD.write_text(text, encoding="utf-8")
    print(CARD)
    return 0


if __name__ == "__main__":
    sys.exit(main())
