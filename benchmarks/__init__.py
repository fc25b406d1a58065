"""What the loss, a training step and an evaluation cost: one module `bench_NAME` for each benchmark."""
