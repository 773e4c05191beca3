"""What a user can do wrong, as exceptions: what was got, why it is wrong, what to type instead.

Every error that a user can cause is a `HeadatlasError`; the command line prints its message on one line.
`InputError` (and below) means the input was bad and nothing was run: exit code 2. `RunError` means that a
run that began could not end: exit code 1; what it had finished is kept. This module knows nothing else.
"""


class HeadatlasError(Exception):
    """Base of all errors raised on purpose by headatlas."""

    exit_code = 1


class InputError(HeadatlasError):
    """Something the user gave can't be used."""

    exit_code = 2


class QuestionError(InputError):
    """A question set that breaks the schema (file, line and field are named)."""


class PromptError(InputError):
    """A step that can't be rendered or tokenised for this model."""


class ModelError(InputError):
    """A model that can't be found, loaded or read head by head."""


class AtlasError(InputError):
    """A file that is not a complete atlas of this schema."""


class StoreError(InputError):
    """A store of activations that is damaged or belongs to another run."""


class RunError(HeadatlasError):
    """A run that began and could not go on (NaN in a head's output, disk full, no memory)."""
