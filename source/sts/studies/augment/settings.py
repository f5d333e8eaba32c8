"""The settings of a run of augment_benchmark.py."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from sts.augment.contract import GENERATORS, METHODS, make_generator
from sts.augment.grid import BASELINE, DIVISION_PROTOCOLS, REAL_NEURONS, WEIGHTS, Grid
from sts.augment.preparation import NONE, REDUCERS, SPACES, RowPreparation
from sts.augment.tasks import FEATURE_CHOICES, TASKS
from sts.base.errors import StsError, one_of
from sts.base.files import read_json
from sts.tabular.classifiers import CLASSIFIERS, VOTE, order_classifiers

ALL_METHODS: Final = "all"
# The controls that a benchmark of all methods includes.
DEFAULT_CONTROLS: Final = ("random", WEIGHTS)
DEFAULT_ADDED: Final = {"cv": (100, 500, 1000), "paper": (100, 500, 1000, 5000, 10000)}
# Number of repeats of the folds, or of seeds of the single holdout.
DEFAULT_REPEATS: Final = {"cv": 2, "paper": 5}
# Settings of the demo: enough to show every part of the benchmark.
DEMO_ADDED: Final = (50, 200)
DEMO_CLASSIFIERS: Final = ("lda", "logistic", "extra-trees")


@dataclass(frozen=True, kw_only=True)
class Job:
    """All settings of a benchmark."""

    task: str = "e"
    features: str = "curated"
    protocol: str = "cv"
    methods: tuple[str, ...] = ("smote",)
    classifiers: tuple[str, ...] = (*CLASSIFIERS, VOTE)
    added: tuple[int, ...] = DEFAULT_ADDED["cv"]
    folds: int | None = None
    """None: as many as the rarest class allows."""
    repeats: int = DEFAULT_REPEATS["cv"]
    reducer: str = NONE
    components: int = 15
    space: str = "native"
    tune: bool = False
    borrow: bool = False
    given: tuple[str, ...] = ()
    """What added rows must have, such as `tau=15:25`."""
    curves: bool = True
    fidelity: bool = True
    planning: bool = False
    """Whether to forecast how many more neurons would bring as much as augmentation."""
    seed: int = 0
    device: str = "cpu"
    """Device of the deep generators; `auto` is the CPU, because all processes would share one GPU.
    """
    generators: dict[str, Any] = field(default_factory=dict)
    """Settings by method that differ from the tuned settings."""

    @property
    def what(self) -> str:
        """Return the name of this benchmark in run folders."""
        methods = ALL_METHODS if set(METHODS) <= set(self.methods) else "+".join(self.methods)
        given = "-given" if self.given else ""
        return f"{self.task}-{self.features}-{self.protocol}-{methods}{given}"

    @property
    def all_methods(self) -> tuple[str, ...]:
        """Return all methods that are evaluated, the baseline first."""
        borrowed = REAL_NEURONS if self.borrow else ()
        return (BASELINE, *self.methods, *borrowed)

    @property
    def grid(self) -> Grid:
        """Return how scores are computed."""
        return Grid(
            added=self.added,
            classifiers=self.classifiers,
            preparation=RowPreparation(
                reducer=self.reducer, components=self.components, space=self.space
            ),
            tune=self.tune,
            curves=self.curves,
            seed=self.seed,
            device=self.device,
        )


def make_benchmark_job(
    *,
    methods: Sequence[str] = ("smote",),
    task: str = "e",
    protocol: str = "cv",
    features: str = "curated",
    classifiers: Sequence[str] = (),
    added: Sequence[int] = (),
    given: Sequence[str] = (),
    repeats: int | None = None,
    file: Path | None = None,
    device: str = "cpu",
    **others: Any,
) -> Job:
    """Return the settings of a command line; empty values and None mean the default.

    Parameters
    ----------
    file
        JSON with settings of generators, by method.
    others
        Other fields of a job.
    """
    if one_of(protocol, DIVISION_PROTOCOLS, "protocol") == "paper" and others.get("folds"):
        raise StsError("--folds is for --protocol cv: the paper leaves out one in five neurons")
    job = Job(
        task=one_of(task, TASKS, "task"),
        features=one_of(features, FEATURE_CHOICES, "features"),
        protocol=protocol,
        methods=_expand_methods(methods),
        classifiers=order_classifiers(classifiers) if classifiers else (*CLASSIFIERS, VOTE),
        added=tuple(sorted(set(added))) or DEFAULT_ADDED[protocol],
        given=tuple(given),
        repeats=repeats or DEFAULT_REPEATS[protocol],
        generators={} if file is None else _read_generators(file),
        device="cpu" if device == "auto" else device,
        **others,
    )
    _check_job(job)
    return job


def _check_job(job: Job) -> None:
    one_of(job.reducer, REDUCERS, "reducer")
    one_of(job.space, SPACES, "space")
    if job.space == "reduced" and job.reducer == NONE:
        raise StsError("--space reduced needs a --reducer: choose one, or leave --space at native")
    if job.planning and (not job.curves or job.protocol == "paper"):
        raise StsError(
            "--plan needs learning curves over folds: leave out --no-curves and --protocol paper"
        )
    if job.given and job.space != "native":
        raise StsError("--given names features, which --space reduced no longer has: leave one out")
    if job.given and not any(GENERATORS[name].adds_rows for name in job.methods):
        raise StsError(f"--given is for added rows, and {', '.join(job.methods)} adds none")
    if job.borrow and job.task != "me":
        raise StsError(
            "--borrow is for --task me: its neurons lack morphology, which others do not"
        )


def _expand_methods(names: Sequence[str]) -> tuple[str, ...]:
    """Return each method once; `all` is replaced by all methods."""
    known = (*GENERATORS, ALL_METHODS)
    wanted = [one_of(name, known, "method") for name in names]
    methods = [
        each
        for name in wanted
        for each in ((*METHODS, *DEFAULT_CONTROLS) if name == ALL_METHODS else (name,))
    ]
    return tuple(dict.fromkeys(methods))


def _read_generators(file: Path) -> dict[str, Any]:
    """Return settings of generators by method; wrong settings are an error."""
    by_method = read_json(file)
    if not isinstance(by_method, Mapping):
        raise StsError(f'{file} does not contain settings by method: {{"vae": {{...}}}} is needed')
    for name, settings in by_method.items():
        one_of(name, GENERATORS, f"method in {file}")
        if not isinstance(settings, Mapping):
            raise StsError(f"{file}, {name}: names and values are needed, not {settings!r}")
        try:
            # Wrong settings are refused here, not in the middle of a grid.
            make_generator(name, settings=settings)
        except StsError as error:
            raise StsError(f"{file}, {name}: {error}") from error
    return dict(by_method)
