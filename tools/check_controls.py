"""Print how well a question set's surface gives the function away.

1. Each control is a plain classifier (logistic regression) that sees one surface feature of a step: the
   subquestion's words, the passage's, the answer's, or the step's position with the answer's length.
2. Accuracy is grouped 5-fold: a main question's steps are never in both parts. It is averaged over five
   shuffles of the folds, and the worst shuffle is shown beside it.
3. Further rows are no bars but warnings, the last above all: the passage's sentence that shares most words
   with the subquestion, all words alike or rare ones counting more. A reader who finds the fact sees its
   form. ``--facts`` adds the true sentence, from the generator, as the most that this can give away.

This file reads records only; it does not know how they were made. ``python tools/check_controls.py [FILE]``
takes this project's JSON Lines or, to compare, CogQA's JSON.
"""

import argparse
import json
import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, balanced_accuracy_score
from sklearn.model_selection import GroupKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

BUILTIN = Path(__file__).parents[1] / "src" / "headatlas" / "questions" / "readers" / "controlled.jsonl"
BARS = {"subquestion": 0.40, "passage": 0.15, "answer": 0.25, "position + answer length": 0.20}
"""The accuracies that the built-in set must not exceed, as its issue names them."""
NUMBERS = ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"]


@dataclass(frozen=True)
class Row:
    """One step, flat: what a control may see, the label, and the main question it belongs to."""

    group: int
    passage: str
    subquestion: str
    answer: str
    position: int
    function: str


def read(path: Path) -> list[Row]:
    """Return the steps of a JSON Lines file of this project, or of a CogQA JSON file."""
    content = path.read_text(encoding="utf-8")
    if path.suffix == ".jsonl":
        records = [json.loads(line) for line in content.splitlines()]
    else:
        records = [r[0] if isinstance(r, list) else r for r in json.loads(content)]
    rows = []
    for group, record in enumerate(records):
        steps = record.get("steps") or record.get("generated")
        for position, step in enumerate(steps):
            function = step.get("function") or step["cognitive_skill"]
            answer = str(step["answer"])
            rows.append(Row(group, record["question"], step["subquestion"], answer, position, function))
    counts = Counter(r.function for r in rows)
    return [r for r in rows if counts[r.function] >= 10]  # CogQA holds six stray labels


def nearest_sentence(row: Row) -> str:
    """Return the passage's sentence that shares most words with the subquestion."""
    sentences = re.split(r"(?<=[.!?]) ", row.passage)
    return max(sentences, key=lambda s: len(_words(row.subquestion) & _words(s)))


def closest_sentences(rows: list[Row]) -> list[str]:
    """Return for each step the passage's sentence that shares most with the subquestion, rare words counting more.

    Unlike `nearest_sentence` it is not led astray by words that half the sentences hold ("will", "the").
    """
    parts = {r.group: [(s, _words(s)) for s in re.split(r"(?<=[.!?]) |: ", r.passage)] for r in rows}
    holding = Counter(w for found in parts.values() for _, words in found for w in words)
    total = sum(map(len, parts.values()))

    closest = []
    for row in rows:
        asked = _words(row.subquestion)
        weights = [sum(np.log(total / holding[w]) for w in asked & words) for _, words in parts[row.group]]
        closest.append(parts[row.group][int(np.argmax(weights))][0])
    return closest


def _words(text: str) -> set[str]:
    return set(re.findall(r"\w+", text.lower()))


def features(rows: list[Row]) -> dict[str, list[str] | np.ndarray]:
    """Return control name -> what its classifier sees: texts, or an array (step, feature)."""
    near = [nearest_sentence(r) for r in rows]
    positions = np.eye(max(r.position for r in rows) + 1)[[r.position for r in rows]]
    kinds = np.eye(3)[[0 if r.answer[0].isupper() else 1 if r.answer in NUMBERS else 2 for r in rows]]
    lengths = np.array([[len(r.answer), len(r.answer.split())] for r in rows], dtype=float)
    return {
        "subquestion": [r.subquestion for r in rows],
        "passage": [r.passage for r in rows],
        "answer": [r.answer for r in rows],
        "position + answer length": np.hstack([positions, lengths]),
        "position x answer kind": np.einsum("sp,sk->spk", positions, kinds).reshape(len(rows), -1),
        "subquestion + answer": [f"{r.subquestion} {r.answer}" for r in rows],
        "answer stands in passage": np.array([[r.answer.lower() in r.passage.lower()] for r in rows], dtype=float),
        "nearest sentence": near,
        "nearest sentence + subquestion": [f"{n} {r.subquestion}" for n, r in zip(near, rows, strict=True)],
        "nearest by rare words": closest_sentences(rows),
    }


def accuracy(x: list[str] | np.ndarray, rows: list[Row], seed: int) -> tuple[float, float]:
    """Return grouped 5-fold (accuracy, balanced accuracy) of one control."""
    labels = np.array([r.function for r in rows])
    groups = np.array([r.group for r in rows])
    predicted = np.empty_like(labels)
    for train, test in GroupKFold(5, shuffle=True, random_state=seed).split(labels, labels, groups):
        first = (
            StandardScaler()
            if isinstance(x, np.ndarray)
            else TfidfVectorizer(ngram_range=(1, 2), token_pattern=r"(?u)\b\w+\b")
        )
        model = make_pipeline(first, LogisticRegression(max_iter=1000))
        if isinstance(x, np.ndarray):
            predicted[test] = model.fit(x[train], labels[train]).predict(x[test])
        else:
            predicted[test] = model.fit([x[i] for i in train], labels[train]).predict([x[i] for i in test])
    return accuracy_score(labels, predicted), balanced_accuracy_score(labels, predicted)


def table(
    rows: list[Row], shown: dict[str, list[str] | np.ndarray], *, seeds: int = 5
) -> dict[str, tuple[float, float, float]]:
    """Return control -> (mean accuracy over shuffles, worst shuffle, mean balanced accuracy)."""
    out = {}
    for name, x in shown.items():
        found = np.array([accuracy(x, rows, seed) for seed in range(seeds)])
        out[name] = (found[:, 0].mean(), found[:, 0].max(), found[:, 1].mean())
    return out


def main() -> None:
    """Print the table of a file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("file", nargs="?", type=Path, default=BUILTIN)
    parser.add_argument("--facts", action="store_true", help="add the built-in set's true sentences")
    args = parser.parse_args()
    rows = read(args.file)
    shown = features(rows)
    if args.facts:
        from make_controlled import make_all

        shown["true sentence (generator)"] = [i.sentence for *_, items in make_all() for i in items]
    largest = Counter(r.function for r in rows).most_common(1)[0][1] / len(rows)
    groups = len({r.group for r in rows})
    print(f"{args.file.name}: {groups} questions, {len(rows)} steps, majority {largest:.3f}")
    print(f"{'control':32} {'accuracy':>8} {'worst':>7} {'balanced':>9} {'bar':>9}")
    for name, (mean, worst, balanced) in table(rows, shown).items():
        bar = f"{BARS[name]:.2f} {'ok' if worst <= BARS[name] else 'over'}" if name in BARS else "-"
        print(f"{name:32} {mean:8.3f} {worst:7.3f} {balanced:9.3f} {bar:>9}")


if __name__ == "__main__":
    main()
