"""Benchmark questions taken apart into steps by a model behind an OpenAI-compatible endpoint."""

from headatlas.building.build import Builder as Builder
from headatlas.building.build import Built as Built
from headatlas.building.endpoint import Patience as Patience
from headatlas.building.journal import Caps as Caps
from headatlas.building.outcome import summarize as summarize
from headatlas.building.passes import read_functions as read_functions
