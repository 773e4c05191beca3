"""The whole `headatlas map` and `headatlas --help`, as processes: time, peak memory, growth with prompts.

python benchmarks/map.py
"""

import os
import subprocess
import sys
import tempfile
import time

from _line import line

COMMAND = [sys.executable, "-m", "headatlas.cli"]


def run(arguments: list[str]) -> tuple[float, float]:
    """Return the wall seconds and the peak resident gigabytes of one process."""
    start = time.perf_counter()
    process = subprocess.Popen([*COMMAND, *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    errors = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"headatlas {' '.join(arguments)} failed:\n{errors}")
    return time.perf_counter() - start, usage.ru_maxrss / 2**20


def load_alone() -> float:
    """Return the seconds of `load_model` in a process that has torch and transformers' Llama imported."""
    code = (
        "import time, torch, headatlas; from transformers import AutoTokenizer, LlamaForCausalLM;"
        "start = time.perf_counter(); headatlas.load_model(); print(time.perf_counter() - start)"
    )
    return float(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout)


def main() -> None:
    fastest = min(run(["--help"])[0] for _ in range(5))
    line("help_seconds", fastest, at_most=0.5)
    with tempfile.TemporaryDirectory() as folder:
        run(["models", "smollm2-135m"])  # converts the model where it is not cached yet
        start, _ = run(["models", "smollm2-135m"])
        line("start_to_proved_model_seconds", start, at_most=5)
        line("load_model_seconds", load_alone(), at_most=5)
        probe = ["map", "-q", "controlled", "--method", "probe", "--out"]
        seconds, full = run([*probe, f"{folder}/probe"])
        _, quarter = run([*probe, f"{folder}/quarter", "--limit", "24"])
        line("map_probe_controlled_seconds", seconds, at_most=120)
        line("map_probe_controlled_peak_gb", full, at_most=2.5)
        line("map_probe_peak_gb_768_over_192_prompts", full / quarter, at_most=1.05)
        both, full = run(["map", "--out", f"{folder}/both"])  # ablation and probe
        line("map_builtin_seconds", both, at_most=240)
        line("map_builtin_peak_gb", full, at_most=2.5)
        again, _ = run(["map", "--out", f"{folder}/both"])
        line("map_again_seconds", again)
        line("findings_seconds", min(run(["findings", f"{folder}/both"])[0] for _ in range(3)), at_most=1)


if __name__ == "__main__":
    main()
