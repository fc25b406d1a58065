"""aLRP Loss in the RT-DETR of transformers.

What is replaced: the varifocal loss and the GIoU loss of each decoder layer. The Hungarian matcher stays, and so does
the L1 loss of the matched boxes, which DETR needs to move boxes far from their objects.

- RT-DETR has sigmoid logits. DETR has a softmax with a "no object" class. aLRP Loss ranks scores of single classes:
  leave the "no object" column out of the list, and use a sigmoid at inference too, or the scores that are sorted there
  are not those that were ranked.
- The losses of all layers are one step of the self-balance: they are inside `accumulate()`.
- The first weight. 50 is meant for lists of a hundred thousand logits and more, where `loc` is divided by large ranks.
  A list of queries is short: here it has 2,000 logits, and the self-balance is between 16 and 39. Measured, AP after
  1,000 steps with seeds 0 and 1: first weight 1: .048, .051; 5: .041, .030; 15: .043, .038; 50: .044, .028.

    python examples/transformers_rt_detr.py --steps 40

AP on 100 validation images, from .000 with random weights, training on 1,600 images (`--images 1600`, seed 0, a CPU):
.048 after 1,000 steps (AP50 .160, 2 minutes).
"""

import torch
from shapes import Targets, datasets, loader, parser, train
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.ops import box_convert
from transformers import RTDetrConfig, RTDetrForObjectDetection, RTDetrResNetConfig
from transformers.loss.loss_rt_detr import RTDetrHungarianMatcher

from alrp_ref import ALRPLoss, flatten_batch
from alrp_ref.losses import BalancedALRP

L1_WEIGHT = 5.0  # that of RT-DETR
FIRST_WEIGHT = 1.0


class ALRPDetrLoss(nn.Module):
    """What RT-DETR calls as its `loss_function`, with aLRP Loss. Args: `config` of the model; `criterion`."""

    def __init__(self, config: RTDetrConfig, criterion: ALRPLoss):
        super().__init__()
        self.matcher, self.criterion = RTDetrHungarianMatcher(config), criterion
        self.out: BalancedALRP | None = None  # the parts of the last layer's loss, for the log

    def forward(self, logits, labels, device, pred_boxes, config, outputs_class, outputs_coord, **kwargs):
        if kwargs["denoising_meta_values"] is not None:
            raise ValueError("set num_denoising=0: this example has no loss for denoising queries")
        # The encoder chooses the queries by its scores, so it is trained like a layer. The last is logits, pred_boxes.
        layers = [(kwargs["enc_topk_logits"], kwargs["enc_topk_bboxes"])]
        layers += zip(outputs_class.unbind(1), outputs_coord.unbind(1), strict=True)
        with self.criterion.self_balance.accumulate():
            losses = [self.of_layer(*layer, labels) for layer in layers]
        self.out = losses[-1][0]
        return sum(out.total + L1_WEIGHT * l1 for out, l1 in losses), {"cls": self.out.cls.detach()}, None

    def of_layer(self, logits: Tensor, boxes: Tensor, targets: Targets) -> tuple[BalancedALRP, Tensor]:
        """aLRP Loss and the L1 loss of one layer. Shape: `logits` (B, Q, C), `boxes` (B, Q, 4)."""
        labels, target_boxes = logits.new_full(logits.shape[:2], -1, dtype=torch.long), torch.zeros_like(boxes)
        matches = self.matcher({"logits": logits, "pred_boxes": boxes}, targets)
        for image, (queries, objects) in enumerate(matches):
            labels[image, queries] = targets[image]["class_labels"][objects]
            target_boxes[image, queries] = targets[image]["boxes"][objects]
        out = self.criterion(*flatten_batch(logits, labels, boxes, target_boxes, box_format="cxcywh"))
        is_positive = labels >= 0
        l1 = F.l1_loss(boxes[is_positive], target_boxes[is_positive], reduction="sum") / max(1, out.rank.numel())
        return out, l1


def small_model(num_classes: int) -> RTDetrForObjectDetection:
    """An RT-DETR of 50 queries and two decoder layers, from random weights."""
    backbone = RTDetrResNetConfig(
        embedding_size=32, hidden_sizes=[32, 64, 96, 128], depths=[1, 1, 1, 1], layer_type="basic",
        out_features=["stage2", "stage3", "stage4"],
    )  # fmt: skip
    config = RTDetrConfig(
        backbone_config=backbone, num_labels=num_classes, num_queries=50, num_denoising=0,
        freeze_backbone_batch_norms=False,
        encoder_in_channels=[64, 96, 128], encoder_hidden_dim=64, encoder_ffn_dim=128, encoder_attention_heads=4,
        d_model=64, decoder_in_channels=[64, 64, 64], decoder_ffn_dim=128, decoder_attention_heads=4, decoder_layers=2,
        hidden_expansion=0.5, auxiliary_loss=True, with_box_refine=True,
    )  # fmt: skip
    return RTDetrForObjectDetection(config)


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--constant-weight", type=float, help="keep this weight of loc (default: self-balance)")
    args = options.parse_args()
    torch.manual_seed(0)
    data = datasets(args)
    model = small_model(len(data[0].class_names))
    criterion = ALRPLoss(len(loader(data[0])), initial_weight=FIRST_WEIGHT)
    if args.constant_weight:
        criterion = ALRPLoss(None, initial_weight=args.constant_weight)
    model.criterion = loss = ALRPDetrLoss(model.config, criterion)  # a part of the model, and so of its state
    model.loss_function = loss.__call__
    optimiser = torch.optim.AdamW(model.parameters(), lr=5e-4, weight_decay=1e-4)

    def losses_of(images, targets) -> tuple[Tensor, BalancedALRP]:
        side = images[0].shape[-1]
        labels = [
            {"class_labels": t["labels"], "boxes": box_convert(t["boxes"], "xyxy", "cxcywh") / side} for t in targets
        ]
        return model(pixel_values=torch.stack(images), labels=labels).loss, loss.out

    def detect(images):
        out, side = model(pixel_values=torch.stack(images)), images[0].shape[-1]
        scores, index = out.logits.sigmoid().flatten(1).topk(50)
        num_classes = out.logits.shape[-1]
        boxes = side * box_convert(out.pred_boxes, "cxcywh", "xyxy")
        return [
            {"boxes": box[i // num_classes], "labels": i % num_classes, "scores": score}
            for box, i, score in zip(boxes, index, scores, strict=True)
        ]

    train(args, model, losses_of, detect, data, optimiser, clip_norm=1.0)


if __name__ == "__main__":
    main()
