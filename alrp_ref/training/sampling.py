"""Stateless sampling: images and augmentation of a step are functions of seed, epoch and index.

Nothing else in training draws random numbers. So a resumed run sees exactly the batches of the uninterrupted run, with
any number of data workers, and no random state has to be saved.
"""

from collections.abc import Iterator

import torch
from torch.utils.data import Dataset, Sampler

Draw = tuple[int, int]
"""Epoch and index of one training sample."""


class StepSampler(Sampler[list[Draw]]):
    """The batches of steps `start` to `stop`. Each epoch is a new permutation; its incomplete last batch is dropped.

    Args:
        length: images in the data set.
        batch_size: images per step, over all processes.
        start, stop: steps, counted from the beginning of training.
        seed: seed of the permutations.
        rank, world: this process takes every `world`-th image of a batch.
        accumulate: micro-batches that each process makes of its share: `accumulate` lists for each step. They are those
            of as many processes: micro-batch k takes the images of rank ``rank * accumulate + k`` of
            ``world * accumulate``.
    """

    def __init__(
        self,
        length: int,
        batch_size: int,
        start: int,
        stop: int,
        *,
        seed: int = 0,
        rank: int = 0,
        world: int = 1,
        accumulate: int = 1,
    ):
        if length < batch_size:
            raise ValueError(f"batch_size must not exceed the {length} training images, got {batch_size}")
        self.length, self.batch_size, self.start, self.stop = length, batch_size, start, stop
        self.seed, self.rank, self.world, self.accumulate = seed, rank, world, accumulate
        self.steps_per_epoch = length // batch_size

    def __iter__(self) -> Iterator[list[Draw]]:
        epoch, order = None, None
        for step in range(self.start, self.stop):
            if epoch != step // self.steps_per_epoch:
                epoch = step // self.steps_per_epoch
                order = torch.randperm(self.length, generator=_generator(self.seed, epoch)).tolist()
            first = step % self.steps_per_epoch * self.batch_size
            batch = order[first : first + self.batch_size]
            for k in range(self.accumulate):
                share = batch[self.rank * self.accumulate + k :: self.world * self.accumulate]
                yield [(epoch, index) for index in share]

    def __len__(self) -> int:
        return (self.stop - self.start) * self.accumulate


class SeededDataset(Dataset):
    """A data set whose random transforms depend on seed, epoch and index alone."""

    def __init__(self, dataset: Dataset, seed: int = 0):
        self.dataset, self.seed = dataset, seed

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, key: Draw):
        epoch, index = key
        with torch.random.fork_rng(devices=[]):
            # Not torch.manual_seed, which takes .5 ms to prepare the seeding of accelerators, too.
            torch.default_generator.manual_seed(_generator(self.seed, epoch, index).initial_seed())
            return self.dataset[index]


def _generator(*numbers: int) -> torch.Generator:
    """A generator for each tuple of numbers."""
    seed = 0
    for number in numbers:
        seed = (seed * 1_000_003 + number + 1) % 2**62
    return torch.Generator().manual_seed(seed)
