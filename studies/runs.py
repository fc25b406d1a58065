"""The long runs that the figures and tables are made from, by study: which recipe, on which pictures, how long."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path

from alrp_ref.data import CocoDataset, hold_out, make_shapes
from alrp_ref.detection import Recipe
from alrp_ref.detection.recipes import get_recipe
from alrp_ref.training import TrainOptions
from alrp_ref.training.experiment import Experiment
from studies import recipes

SHAPES = {"train_images": 8000, "val_images": 1000}
FEW_SHAPES = {"train_images": 800, "val_images": 1000}
"""The first 800 of those pictures, and the same pictures to validate."""
STEPS = 10_000
EVALUATED_EVERY = 2_500
HELD_OUT = 10
"""Every tenth training image is held out for the sweep of the learning rates."""
RATES = (0.06, 0.19, 0.019)
"""The learning rate of `alrp_tiny`, and half a decade to each side."""
PHOTOGRAPH_EPOCHS = 100
DEMO_SHAPES = {"train_images": 2500, "val_images": 200}
"""Those of `alrp demo`."""
FIGURE_4_SHAPES = {"train_images": 640, "val_images": 100}
FIGURE_4_STEPS = 480
"""Twelve short epochs, as many as in the paper, of forty steps."""


@cache
def images_of(coco: Path) -> int:
    """The number of training images."""
    return len(CocoDataset(coco, "train2017"))


@dataclass(frozen=True)
class Studies:
    """Every run, by study. Args: `folder` of the runs; `coco` with photographs; `options` of all runs."""

    folder: Path
    coco: Path | None = None
    options: TrainOptions = field(default_factory=TrainOptions)

    def rates(self) -> Iterator[Experiment]:
        """Three learning rates of each loss, on training images held out."""
        held_out = hold_out(self.shapes(), self.folder / "held_out", HELD_OUT)
        for name, text in recipes.LOSSES.items():
            for lr in RATES:
                recipe = replace(get_recipe(text), name=f"rate_{name}_{lr:g}", lr=lr)
                yield self._run(recipe, EVALUATED_EVERY, 0, held_out)

    def losses(self) -> Iterator[Experiment]:
        """aLRP, AP and focal loss at full length."""
        yield from self._on_shapes(recipes.LOSSES, seeds=3)

    def longer(self) -> Iterator[Experiment]:
        """aLRP Loss, AP Loss, and AP Loss with the mean GIoU error for the boxes, at twice that."""
        yield from self._on_shapes(("alrp", "ap", "ap_alike_3"), seeds=2, steps=2 * STEPS)

    def table2(self) -> Iterator[Experiment]:
        """The ablation; its last row is a run of `losses`."""
        yield from self._on_shapes(recipes.TABLE_2, seeds=3)

    def table3(self) -> Iterator[Experiment]:
        """Constant weights of the boxes, and IoU with self-balance; GIoU with it is a run of `losses`."""
        yield from self._on_shapes(recipes.TABLE_3, seeds=1)

    def table4(self) -> Iterator[Experiment]:
        """First weights of the self-balance; 50 is a run of `losses`."""
        yield from self._on_shapes(recipes.TABLE_4, seeds=1)

    def renewed(self) -> Iterator[Experiment]:
        """The weight of the self-balance renewed five times an epoch: as often in 20 epochs as in the paper's 100."""
        yield from self._on_shapes(recipes.RENEWED, seeds=2)

    def unweighted(self) -> Iterator[Experiment]:
        """AP Loss with an unweighted mean for the boxes: GIoU errors, or smooth L1, at constant weights.

        aLRP Loss, and smooth L1 at weight 1, are runs of `losses`.
        """
        yield from self._on_shapes(recipes.MEAN_GIOU | recipes.SMOOTH_L1, seeds=2)

    def two_by_two(self) -> Iterator[Experiment]:
        """The scores by one of the two losses, the boxes weighted by rank or not.

        The other runs of the table are of `losses`, `table3` and `unweighted`; the constant weight of 5 has a second
        seed here.
        """
        yield from self._on_shapes([*recipes.TWO_BY_TWO, "giou_weight_5"], seeds=2)

    def rank_sort(self) -> Iterator[Experiment]:
        """Rank & Sort Loss, and the boxes weighted by score."""
        yield from self._on_shapes(recipes.RANK_SORT, seeds=2)

    def few(self) -> Iterator[Experiment]:
        """aLRP Loss, AP Loss, and AP Loss with the mean GIoU error, on 800 pictures: 200 epochs in place of 20."""
        coco = make_shapes(self.folder / "few" / "shapes", **FEW_SHAPES)
        for seed in range(2):
            for name, text in recipes.FEW.items():
                yield self._run(replace(get_recipe(text), name=name), STEPS, seed, coco)

    def demo(self) -> Iterator[Experiment]:
        """aLRP, AP and RS Loss on the pictures of `alrp demo`, as long as its run."""
        coco = make_shapes(self.folder / "demo" / "shapes", **DEMO_SHAPES)
        for seed in range(2):
            for name, text in recipes.DEMO.items():
                recipe = replace(get_recipe(text), name=name)
                steps = recipe.epochs * (DEMO_SHAPES["train_images"] // recipe.batch_size)
                folder = self.folder / "demo" / f"{name}_{steps}_{seed}"
                options = replace(self.options, steps=steps, seed=seed)
                yield Experiment(recipe=recipe, coco=coco, folder=folder, options=options)

    def figure4(self) -> Iterator[Experiment]:
        """Cross entropy, focal loss and aLRP Loss over twelve short epochs, ten runs of each."""
        coco = make_shapes(self.folder / "figure4" / "shapes", **FIGURE_4_SHAPES)
        for seed in range(10):
            for name, text in recipes.FIGURE_4.items():
                yield Experiment(
                    recipe=replace(get_recipe(text), name=name),
                    coco=coco,
                    folder=self.folder / "figure4" / f"{name}_{seed}",
                    options=replace(self.options, steps=FIGURE_4_STEPS, seed=seed),
                )

    def photographs(self) -> Iterator[Experiment]:
        """Three losses on photographs, if there are any."""
        for seed in range(3 if self.coco is not None else 0):
            for name, text in recipes.PHOTOGRAPHS.items():
                recipe = replace(get_recipe(text), name=name)
                steps = round(PHOTOGRAPH_EPOCHS * (images_of(self.coco) // recipe.batch_size))
                yield self._run(recipe, steps, seed, self.coco)

    def shapes(self) -> Path:
        """The folder of the generated pictures, which are drawn when they are first needed."""
        return make_shapes(self.folder / "shapes", **SHAPES)

    def _on_shapes(self, names: Iterable[str], seeds: int, steps: int = STEPS) -> Iterator[Experiment]:
        for seed in range(seeds):
            for name in names:
                yield self._run(replace(get_recipe(recipes.ON_SHAPES[name]), name=name), steps, seed, self.shapes())

    def _run(self, recipe: Recipe, steps: int, seed: int, coco: Path) -> Experiment:
        """A run that is evaluated every `EVALUATED_EVERY` steps."""
        every = max(1, EVALUATED_EVERY // (images_of(coco) // recipe.batch_size))
        weights = self.options.backbone_weights if coco == self.coco else None
        return Experiment(
            recipe=recipe,
            coco=coco,
            folder=self.folder / f"{recipe.name}_{steps}_{seed}",
            options=replace(self.options, steps=steps, seed=seed, eval_every=every, backbone_weights=weights),
        )


STUDIES: Mapping[str, str] = {
    name: getattr(Studies, name).__doc__.split("\n")[0]
    for name in (
        *("rates", "losses", "photographs", "longer", "table2", "table3", "table4"),
        *("renewed", "unweighted", "two_by_two", "rank_sort", "few", "demo", "figure4"),
    )
}
"""What each study is, in the order of their worth."""
