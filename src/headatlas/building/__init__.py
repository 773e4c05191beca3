"""Benchmark questions taken apart into steps by a model behind an OpenAI-compatible endpoint."""

from headatlas.building.build import Builder as Builder
from headatlas.building.build import Built as Built
from headatlas.building.decompose import read_functions as read_functions
from headatlas.building.endpoint import Patience as Patience
from headatlas.building.journal import Caps as Caps
from headatlas.building.summary import summarize as summarize
