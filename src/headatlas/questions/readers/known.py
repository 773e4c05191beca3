"""Records of well-known benchmarks, known by their fields: GSM8K's and SQuAD's, and whatever has the same form.

1. {question, answer: "… #### 42"} (GSM8K: Cobbe et al. 2021, arXiv 2110.14168): the answer is what follows the marks.
2. {context, question, answers: {text: […]}} (SQuAD: Rajpurkar et al. 2016, arXiv 1606.05250): the question is asked
   about the context; the first answer is the reference, all count as right (``accepted``). Without any answer
   (SQuAD 2.0's) a record is left out.

It does not know files.
"""

from collections.abc import Mapping
from typing import Any

from headatlas.questions.reading import Found, LeftOut, Refused, parse_record

MARK = "####"


def is_known(cells: Mapping[str, Any]) -> bool:
    """Say whether a record has one of the forms."""
    return _is_worked(cells) or _is_extractive(cells)


def _is_worked(cells: Mapping[str, Any]) -> bool:
    return isinstance(cells.get("question"), str) and MARK in str(cells.get("answer", "")) and "steps" not in cells


def _is_extractive(cells: Mapping[str, Any]) -> bool:
    answers = cells.get("answers")
    return {"context", "question"} <= cells.keys() and isinstance(answers, Mapping) and "text" in answers


def read_known(cells: Mapping[str, Any], where: str, line: int, name: str) -> list[Found]:
    """Return the question in a record, or what is wrong with it."""
    if not is_known(cells):
        wanted = f"question and answer with '{MARK}', or context, question and answers.text"
        return [Refused(where, line, "", f"expected {wanted}, as the first record has; got {sorted(cells)}.")]
    if _is_extractive(cells):
        texts = [str(text) for text in cells["answers"]["text"]]
        if not texts:
            return [LeftOut("questions without an answer")]
        step = {"subquestion": cells["question"], "answer": texts[0], "function": "retrieval"}
        record = {"question": cells["context"], "accepted": list(dict.fromkeys(texts)), "chain": False}
    else:
        answer = str(cells["answer"]).rpartition(MARK)[2]
        step = {"subquestion": cells["question"], "answer": answer, "function": "math_calculation"}
        record = {"question": cells["question"], "chain": False}
    own = {"id": str(cells.get("id") or f"{name}-{line}"), **record, "steps": [step]}
    if isinstance(split := cells.get("split"), str):
        own["split"] = split
    found = parse_record(own, where, line)
    return list(found) if isinstance(found, list) else [found]
