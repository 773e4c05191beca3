"""Questions: their functions, schema, readers, loading and checks. Names are loaded on first use."""

from typing import TYPE_CHECKING

from headatlas._lazy import from_homes

if TYPE_CHECKING:
    from headatlas.questions.functions import FUNCTIONS as FUNCTIONS
    from headatlas.questions.functions import check_function as check_function
    from headatlas.questions.functions import function_title as function_title
    from headatlas.questions.functions import order_functions as order_functions
    from headatlas.questions.functions import slug as slug
    from headatlas.questions.loading import load_questions as load_questions
    from headatlas.questions.loading import read_questions as read_questions
    from headatlas.questions.loading import source_name as source_name
    from headatlas.questions.loading import stream as stream
    from headatlas.questions.loading import usable as usable
    from headatlas.questions.reading import Found as Found
    from headatlas.questions.reading import LeftOut as LeftOut
    from headatlas.questions.reading import Reader as Reader
    from headatlas.questions.reading import Reading as Reading
    from headatlas.questions.reading import Refused as Refused
    from headatlas.questions.reading import parse_question as parse_question
    from headatlas.questions.reading import parse_record as parse_record
    from headatlas.questions.reading import readers as readers
    from headatlas.questions.reading import sources as sources
    from headatlas.questions.schema import Question as Question
    from headatlas.questions.schema import QuestionSet as QuestionSet
    from headatlas.questions.schema import Seen as Seen
    from headatlas.questions.schema import Step as Step
    from headatlas.questions.schema import text_key as text_key

_HOMES = {
    "FUNCTIONS": "functions",
    "Found": "reading",
    "LeftOut": "reading",
    "Question": "schema",
    "QuestionSet": "schema",
    "Reader": "reading",
    "Reading": "reading",
    "Refused": "reading",
    "Seen": "schema",
    "Step": "schema",
    "check_function": "functions",
    "function_title": "functions",
    "load_questions": "loading",
    "order_functions": "functions",
    "parse_question": "reading",
    "parse_record": "reading",
    "read_questions": "loading",
    "readers": "reading",
    "slug": "functions",
    "source_name": "loading",
    "sources": "reading",
    "stream": "loading",
    "text_key": "schema",
    "usable": "loading",
}

__getattr__ = from_homes("headatlas.questions", _HOMES)
