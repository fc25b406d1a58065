"""The paper and nothing else, a file an idea. Begin with `pairwise`, which forms every pair and imports nothing."""
