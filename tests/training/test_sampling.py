"""What a step sees follows from the seed and the step alone."""

import torch
from torch.utils.data import Dataset

from alrp_ref.training.sampling import MicroBatches, SeededDataset, StepSampler


class Dice(Dataset):
    """Its items are random numbers."""

    def __getitem__(self, index):
        return torch.rand(3)


def test_going_on_gives_the_batches_of_the_whole_run():
    """Batches from step k on are those of the whole run without its first k."""
    whole = list(StepSampler(10, 3, 0, 12, seed=4))
    for k in (1, 3, 7):
        assert list(StepSampler(10, 3, k, 12, seed=4)) == whole[k:]


def test_an_epoch_draws_no_image_twice():
    """The images of one epoch are distinct, and epochs differ in their order."""
    steps = list(StepSampler(9, 3, 0, 6))
    first, second = ([index for batch in part for _, index in batch] for part in (steps[:3], steps[3:]))
    assert sorted(first) == sorted(second) == list(range(9)) and first != second


def test_processes_share_a_batch():
    """The shares of all processes are disjoint, and together the batch of one process."""
    whole = list(StepSampler(12, 4, 0, 5))
    shares = [list(MicroBatches(StepSampler(12, 4, 0, 5), rank=rank, world=2)) for rank in range(2)]
    for batch, one, other in zip(whole, *shares, strict=True):
        assert sorted(batch) == sorted(one + other) and len(one) == len(other) == 2


def test_micro_batches_are_the_shares_of_as_many_processes():
    """Three of two images in one of two processes: those of the first three, or the last three, of six processes."""
    steps = StepSampler(24, 12, 0, 5)
    shares = [list(MicroBatches(steps, rank=rank, world=6)) for rank in range(6)]
    for rank in range(2):
        sampler = MicroBatches(steps, 3, rank, 2)
        micro_batches = list(sampler)
        assert len(sampler) == len(micro_batches) == 15
        assert {len(batch) for batch in micro_batches} == {sampler.size} == {2}
        for step in range(5):
            expected = [share[step] for share in shares[3 * rank : 3 * rank + 3]]
            assert micro_batches[3 * step : 3 * step + 3] == expected


def test_augmentation_follows_from_seed_epoch_and_index():
    """The same place draws the same numbers again; another seed, epoch or index draws others."""
    dice = SeededDataset(Dice(), seed=1)
    draws = [dice[0, 1], dice[1, 0], dice[1, 1], SeededDataset(Dice(), seed=2)[0, 1]]
    assert torch.equal(dice[0, 1], draws[0])
    assert len({tuple(draw.tolist()) for draw in draws}) == 4


def test_augmentation_leaves_the_random_state_alone():
    """Drawing an item does not change what is drawn outside."""
    before = torch.get_rng_state()
    SeededDataset(Dice())[0, 0]
    assert torch.equal(torch.get_rng_state(), before)
