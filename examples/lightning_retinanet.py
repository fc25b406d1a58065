"""aLRP Loss in a LightningModule: mixed precision, gradient accumulation, resuming.

What is replaced: nothing of Lightning's. The model is torchvision's RetinaNet of `torchvision_retinanet.py`. The
criterion is a submodule of it: Lightning moves it, switches it between training and validation, and saves its weight.

- Precision: `bf16-mixed` and `bf16-true` both work. The self-balance keeps its sums in float32 in a model of 16 bits.
- `accumulate_grad_batches=K`: each call of the criterion counts as one step of the self-balance, so `period` stays the
  number of batches in an epoch.
- `gradient_clip_val`: aLRP Loss wants clipping, since its weight is renewed in jumps.

    python examples/lightning_retinanet.py --steps 40
"""

import lightning
import torch
from shapes import average_precision, datasets, loader, parser
from torch import Tensor
from torchvision_retinanet import small_model, use_alrp


class ALRPRetinaNet(lightning.LightningModule):
    """Args: `num_classes`; `period`, the batches in an epoch; `lr`, the learning rate of SGD."""

    def __init__(self, num_classes: int, period: int | None, lr: float = 0.02):
        super().__init__()
        self.detector, self.lr = small_model("retinanet", num_classes), lr
        use_alrp(self.detector, period)

    @property
    def criterion(self):
        return self.detector.head.criterion

    def training_step(self, batch: tuple, index: int) -> Tensor:
        self.detector(*batch)
        out = self.detector.head.out
        # loc and its weight apart: their product is about as large as cls after each epoch, whatever was learnt.
        values = {"cls": out.cls, "loc": out.loc, "loc_weight": out.loc_weight}
        self.log_dict(values, prog_bar=True, batch_size=len(batch[0]))
        return out.total

    def configure_optimizers(self):
        optimiser = torch.optim.SGD(self.parameters(), lr=self.lr, momentum=0.9, weight_decay=1e-4)
        warm_up = torch.optim.lr_scheduler.LinearLR(optimiser, 0.01, total_iters=50)
        return {"optimizer": optimiser, "lr_scheduler": {"scheduler": warm_up, "interval": "step"}}


def main() -> None:
    args = parser(__doc__).parse_args()
    torch.manual_seed(0)
    training, val = datasets(args)
    batches = loader(training)
    model = ALRPRetinaNet(len(training.class_names), period=len(batches))
    print(f"step 0: {average_precision(val, model.detector, model.detector)}")
    trainer = lightning.Trainer(
        max_steps=args.steps, gradient_clip_val=4.0, accelerator="cpu", logger=False, enable_checkpointing=False
    )
    trainer.fit(model, batches)
    print(f"step {args.steps}: {average_precision(val, model.detector, model.detector)}")


if __name__ == "__main__":
    main()
