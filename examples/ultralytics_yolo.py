"""aLRP Loss in a YOLO of Ultralytics.

What is replaced: `v8DetectionLoss`, that is, binary cross entropy, CIoU and the distribution focal loss (DFL) with
their three gains. The task-aligned assigner and the decoding of boxes stay. The branch that gives a distribution for
each side of a box is trained through the box that it decodes to.

- Inference: the logits are sigmoid logits and there is no branch of objectness, so nothing changes.
- Ultralytics multiplies its loss by the batch size. aLRP Loss is a mean over the positives of the list and is not
  multiplied. Gradients of accumulated batches are added up, so with SGD set `nbs` to the batch size.
- In Ultralytics' own trainer: ``YOLO("yolov8n.yaml").train(trainer=ALRPTrainer, data=...)``. It leaves the criterion
  out of its checkpoints: after a resume the weight of the boxes is the first one, until an epoch of steps is over.
- The list is long enough for the first weight of 50: an image of 640 pixels has 8,400 points for each class.

    python examples/ultralytics_yolo.py --steps 40

AP on 100 validation images, from .000 with random weights, training on 1,600 images (`--images 1600`, seed 0, a CPU):
.047 after 1,000 steps (AP50 .059, 2 minutes).
"""

import torch
from shapes import Targets, datasets, loader, parser, train
from torch import Tensor, nn
from ultralytics.cfg import get_cfg
from ultralytics.models.yolo.detect import DetectionTrainer
from ultralytics.nn.tasks import DetectionModel
from ultralytics.utils.loss import v8DetectionLoss
from ultralytics.utils.nms import non_max_suppression
from ultralytics.utils.tal import make_anchors
from ultralytics.utils.torch_utils import unwrap_model

from alrp_ref import ALRPLoss, flatten_batch
from alrp_ref.losses import BalancedALRP


class ALRPCriterion(nn.Module):
    """What Ultralytics calls as `criterion(preds, batch)`, with aLRP Loss.

    Args: `model`, with `model.args`; `period`, batches in an epoch.
    """

    def __init__(self, model: DetectionModel, period: int | None):
        super().__init__()
        self.yolo = v8DetectionLoss(model)  # its assigner and its decoding
        self.loss = ALRPLoss(period).to(self.yolo.device)

    def forward(self, preds: dict[str, Tensor] | tuple, batch: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        out = self.balanced(self.yolo.parse_output(preds), batch)
        return out.total, {"cls_loss": out.cls.detach(), "box_loss": (out.loc_weight * out.loc).detach()}

    def balanced(self, preds: dict[str, Tensor], batch: dict[str, Tensor]) -> BalancedALRP:
        """The parts of the loss. Shape: `preds["scores"]` (B, C, N), `preds["boxes"]` (B, 4 R, N)."""
        logits, yolo = preds["scores"].mT, self.yolo
        points, strides = make_anchors(preds["feats"], yolo.stride, 0.5)
        # Corners in pixels; in float32, since float16 has steps of half a pixel from 512 on.
        boxes = strides * yolo.bbox_decode(points, preds["boxes"].mT.float())

        height, width = (side * yolo.stride[0].item() for side in preds["feats"][0].shape[2:])
        truth = torch.cat([batch["batch_idx"].view(-1, 1), batch["cls"].view(-1, 1), batch["bboxes"]], dim=1)
        scale = truth.new_tensor([width, height, width, height], device=yolo.device)
        truth = yolo.preprocess(truth.to(yolo.device), len(logits), scale_tensor=scale)
        truth_labels, truth_boxes = truth.split((1, 4), dim=2)
        labels, target_boxes, _, is_positive, _ = yolo.assigner(
            logits.detach().sigmoid(),
            boxes.detach(),
            points * strides,
            truth_labels,
            truth_boxes,
            truth_boxes.sum(dim=2, keepdim=True) > 0,
        )
        labels = torch.where(is_positive.bool(), labels.long(), -1)
        return self.loss(*flatten_batch(logits, labels, boxes, target_boxes))


class ALRPYolo(DetectionModel):
    """A YOLO whose criterion is aLRP Loss. Args: `period`, batches in an epoch; the rest as for `DetectionModel`."""

    def __init__(self, *args, period: int | None, **kwargs):
        super().__init__(*args, **kwargs)
        self.period, self.args = period, get_cfg()  # ALRPTrainer sets both to its own

    def init_criterion(self) -> ALRPCriterion:
        return ALRPCriterion(self, self.period)


class ALRPTrainer(DetectionTrainer):
    """Ultralytics' trainer with a model that is an `ALRPYolo`."""

    def get_model(self, cfg=None, weights=None, verbose: bool = True) -> ALRPYolo:
        model = ALRPYolo(cfg, nc=self.data["nc"], ch=self.data["channels"], verbose=verbose, period=None)
        if weights:
            model.load(weights)
        # The number of batches is known later, and still before the first loss, which makes the criterion.
        self.add_callback("on_train_start", set_period)
        return model


def set_period(trainer: DetectionTrainer) -> None:
    unwrap_model(trainer.model).period = len(trainer.train_loader)


def as_batch(images: list[Tensor], targets: Targets) -> dict[str, Tensor]:
    """A batch in Ultralytics' layout: boxes of all images in one list, as centre and size in shares of the image."""
    side = images[0].shape[-1]
    boxes = torch.cat([target["boxes"] for target in targets]) / side
    counts = torch.tensor([len(target["boxes"]) for target in targets])
    return {
        "img": torch.stack(images),
        "batch_idx": torch.arange(len(images)).repeat_interleave(counts).float(),
        "cls": torch.cat([target["labels"] for target in targets]).float(),
        "bboxes": torch.cat([(boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, 2:] - boxes[:, :2]], dim=1),
    }


def main() -> None:
    args = parser(__doc__).parse_args()
    torch.manual_seed(0)
    data = datasets(args)
    model = ALRPYolo("yolov8n.yaml", nc=len(data[0].class_names), period=len(loader(data[0])), verbose=False)
    model.criterion = model.init_criterion()
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=5e-4)

    def losses_of(images, targets) -> tuple[Tensor, BalancedALRP]:
        batch = as_batch(images, targets)
        out = model.criterion.balanced(model(batch["img"]), batch)
        return out.total, out

    def detect(images):
        found = non_max_suppression(model(torch.stack(images)), conf_thres=0.01, iou_thres=0.6)
        return [{"boxes": one[:, :4], "scores": one[:, 4], "labels": one[:, 5].long()} for one in found]

    train(args, model, losses_of, detect, data, optimiser, clip_norm=10.0)


if __name__ == "__main__":
    main()
