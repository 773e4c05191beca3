"""Run the gallery's scripts on an atlas: each draws one figure.

python tools/build_gallery.py [ATLAS]      (a folder of headatlas map, with roles.nc and compare.nc beside: into
docs/gallery/pictures/; without one, of a small planted model: into build/gallery/, to see that they run)
"""

import runpy
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
GALLERY = ROOT / "docs" / "gallery"


def small_atlas(folder: Path) -> Path:
    """Map a planted model, with a validation and a comparison beside it, as the scripts expect them."""
    sys.path.insert(0, str(ROOT))
    from tests.planted.roles_models import planted_model, planted_questions
    from tests.planted.task_models import two_functions

    import headatlas as ha
    from headatlas.comparison import save_comparison
    from headatlas.roles import measure_roles
    from headatlas.roles.files import save_roles
    from headatlas.validation import Design, save_validation, validate

    planted = two_functions(tasks=4)
    atlas = ha.measure(planted.model, planted.questions, methods=["ablation", "attribution"])
    ha.save_atlas(atlas, folder / "atlas.nc")
    design = Design(ks=(1, 3, 6), draws=6, answers=0)
    save_validation(validate(planted.model, atlas, planted.questions, design=design), folder)
    other = two_functions(tasks=4, seed=1)
    again = ha.measure(other.model, other.questions, methods=["ablation", "attribution"])
    save_comparison(ha.compare({"one model": atlas, "another": again}), folder)
    roles = measure_roles(planted_model(), questions=planted_questions(), n_random=3, half=12, n_needles=4, n_boot=20)
    save_roles(roles, folder / "roles.nc")
    return folder


def main() -> None:
    with tempfile.TemporaryDirectory() as made:
        real = len(sys.argv) > 1
        atlas = Path(sys.argv[1]) if real else small_atlas(Path(made))
        out = GALLERY / "pictures" if real else ROOT / "build" / "gallery"
        for script in sorted(GALLERY.glob("*.py")):
            sys.argv = [str(script), str(atlas), str(out / f"{script.stem}.png")]
            runpy.run_path(str(script), run_name="__main__")
            print(f"{script.stem}.png")


if __name__ == "__main__":
    main()
