"""What an atlas shows, in words with the numbers under them: `describe` and what it returns."""

from headatlas.findings.describe import Findings as Findings
from headatlas.findings.describe import describe as describe
from headatlas.findings.statements import Finding as Finding
from headatlas.findings.trust import at_chance as at_chance
