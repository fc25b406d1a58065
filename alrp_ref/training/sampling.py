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
    """

    def __init__(self, length: int, batch_size: int, start: int, stop: int, *, seed: int = 0):
        if length < batch_size:
            raise ValueError(f"batch_size must not exceed the {length} training images, got {batch_size}")
        self.length, self.batch_size, self.start, self.stop, self.seed = length, batch_size, start, stop, seed
        self.steps_per_epoch = length // batch_size

    def __iter__(self) -> Iterator[list[Draw]]:
        epoch, order = None, None
        for step in range(self.start, self.stop):
            if epoch != step // self.steps_per_epoch:
                epoch = step // self.steps_per_epoch
                order = torch.randperm(self.length, generator=_generator(self.seed, epoch)).tolist()
            first = step % self.steps_per_epoch * self.batch_size
            yield [(epoch, index) for index in order[first : first + self.batch_size]]

    def __len__(self) -> int:
        return self.stop - self.start


class MicroBatches(Sampler[list[Draw]]):
    """The micro-batches that one process makes of its share of every batch, `number` of them for each step.

    They are the shares of as many processes: micro-batch k takes the images of rank ``rank * number + k`` of
    ``world * number``, and rank r of w takes every w-th image of a batch, from the r-th on.

    Args:
        steps: the batches of all processes.
        number: micro-batches of a step in each process.
        rank, world: of this process, and how many there are.
    """

    def __init__(self, steps: StepSampler, number: int = 1, rank: int = 0, world: int = 1):
        self.steps, self.number, self.rank, self.world = steps, number, rank, world

    @property
    def size(self) -> int:
        """The number of images in a micro-batch."""
        return self.steps.batch_size // (self.world * self.number)

    def __iter__(self) -> Iterator[list[Draw]]:
        for batch in self.steps:
            for k in range(self.number):
                yield batch[self.rank * self.number + k :: self.world * self.number]

    def __len__(self) -> int:
        return len(self.steps) * self.number


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
