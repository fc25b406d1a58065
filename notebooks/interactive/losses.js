// The losses of the course once more, for the interactive pictures. tests/test_interactive.py compares each with Python's.
// `pos` and `neg` are the scores of the positives and of the negatives; `errors` are the localisation errors E_loc.
// A loss is {value, pos, neg}: its value, and its gradient by each score.

export const sum = (x) => x.reduce((a, b) => a + b, 0);
const mean = (x) => sum(x) / x.length;

/** The smoothed step function H. */
export const step = (x, delta = 1) => Math.min(1, Math.max(0, x / (2 * delta) + 0.5));

/** Eq. (3): of each positive, who is above it, N_FP, its rank among the positives and among all. */
export function ranks(pos, neg, delta = 1) {
  return pos.map((s, i) => {
    const negatives = neg.map((t) => step(t - s, delta));
    const positives = pos.map((t, k) => (k === i ? 0 : step(t - s, delta)));
    const [nFP, rankPos] = [sum(negatives), 1 + sum(positives)];
    return { negatives, positives, nFP, rankPos, rank: rankPos + nFP };
  });
}

/** Eqs. (5) and (7): the error of each positive that a ranking can remove, shared among the negatives above it. */
export function errorDriven(removable, rows, neg, eps = 0) {
  const share = ({ negatives, nFP }, i) => negatives.map((h) => (nFP > eps ? (removable[i] * h) / nFP : 0));
  const pairs = rows.map(share);
  return {
    pairs,
    pos: pairs.map((row) => -sum(row) / rows.length),
    neg: neg.map((_, j) => sum(pairs.map((row) => row[j])) / rows.length),
  };
}

/** Eqs. (2) and (4): 1 - AP. `interpolated`, as in the release: the best precision at this recall or a higher one. */
export function apLoss(pos, neg, { delta = 1, interpolated = false } = {}) {
  const rows = ranks(pos, neg, delta);
  const plain = rows.map(({ rankPos, rank }) => rankPos / rank);
  const best = pos.map((s) => Math.max(...plain.filter((_, k) => pos[k] <= s)));
  const ell = (interpolated ? best : plain).map((precision) => 1 - precision);
  return { value: mean(ell), ell, rows, ...errorDriven(ell, rows, neg) };
}

/** Eqs. (9) to (13): `value` is cls + loc, and `boxes` is the gradient by each localisation error. */
export function alrpLoss(pos, neg, errors, { delta = 1 } = {}) {
  const rows = ranks(pos, neg, delta);
  const smoothed = rows.map(({ positives }) => sum(positives.map((h, k) => h * errors[k])));
  const ell = rows.map(({ nFP, rank }, i) => (nFP + errors[i] + smoothed[i]) / rank);
  const target = rows.map(({ rank }, i) => errors[i] / rank);
  // The localisation part orders the positives by the hard step, as the release does: of a tie the later one is above.
  const above = (k, i) => (k === i || pos[k] > pos[i] || (pos[k] === pos[i] && k > i) ? 1 / rows[i].rank : 0);
  const boxes = pos.map((_, k) => mean(pos.map((_, i) => above(k, i))));
  const cls = mean(rows.map(({ nFP, rank }) => nFP / rank));
  const loc = sum(errors.map((e, k) => e * boxes[k]));
  const removable = ell.map((e, i) => e - target[i]);
  return { value: cls + loc, cls, loc, ell, target, rows, boxes, ...errorDriven(removable, rows, neg, 1e-5) };
}

/** RS Loss (ICCV 2021): `value` is ranking + sorting. Here a positive counts itself as H(0) = 1/2. */
export function rankSortLoss(pos, neg, ious, { delta = 0.5 } = {}) {
  const rows = ranks(pos, neg, delta).map(({ negatives, positives, nFP, rankPos, rank }, i) => (
    { negatives, nFP, positives: positives.map((h, k) => (k === i ? 0.5 : h)), rankPos: rankPos - 0.5, rank: rank - 0.5 }));
  const meanError = (h) => sum(h.map((weight, k) => weight * (1 - ious[k]))) / sum(h);
  const some = ({ positives }, wanted) => positives.map((h, k) => (wanted(ious[k]) ? h : 0));
  const ell = rows.map(({ nFP, rank }) => nFP / rank);
  const sortEll = rows.map((row, i) => meanError(row.positives) - meanError(some(row, (y) => y >= ious[i])));
  const byRank = errorDriven(ell, rows, neg, 1e-10);
  const missorted = rows.map((row, i) => some(row, (y) => y < ious[i]));
  const bySort = errorDriven(sortEll, missorted.map((h) => ({ negatives: h, nFP: sum(h) })), pos, 1e-10);
  const [ranking, sorting] = [mean(ell), mean(sortEll)];
  return {
    value: ranking + sorting, ranking, sorting, ell, sortEll, rows,
    pos: pos.map((_, i) => byRank.pos[i] + bySort.pos[i] + bySort.neg[i]),
    neg: byRank.neg,
  };
}

/** The bucketed losses: each negative at the mean of those between the same two neighbouring positives. */
export function bucketMeans(pos, neg) {
  const bucket = neg.map((t) => pos.filter((s) => s < t).length);
  const of = (b) => neg.filter((_, j) => bucket[j] === b);
  return bucket.map((b) => mean(of(b)));
}

const sigmoid = (x) => 1 / (1 + Math.exp(-x));
const softplus = (x) => Math.max(x, 0) + Math.log1p(Math.exp(-Math.abs(x)));

/** Cross entropy of logits, mean over all examples. */
export function crossEntropy(pos, neg) {
  const n = pos.length + neg.length;
  return {
    value: (sum(pos.map((s) => softplus(-s))) + sum(neg.map(softplus))) / n,
    pos: pos.map((s) => -sigmoid(-s) / n),
    neg: neg.map((s) => sigmoid(s) / n),
  };
}

/** Focal loss of logits: the sum over all examples, divided by the number of positives. */
export function focalLoss(pos, neg, { alpha = 0.25, gamma = 2 } = {}) {
  const value = (s) => sigmoid(-s) ** gamma * softplus(-s); // of an example whose class has the logit s
  const slope = (s) => -(sigmoid(-s) ** gamma) * (gamma * sigmoid(s) * softplus(-s) + sigmoid(-s));
  return {
    value: (alpha * sum(pos.map(value)) + (1 - alpha) * sum(neg.map((s) => value(-s)))) / pos.length,
    pos: pos.map((s) => (alpha * slope(s)) / pos.length),
    neg: neg.map((s) => (-(1 - alpha) * slope(-s)) / pos.length),
  };
}

/** AP of a list, best score first: the sum of the interpolated precisions of the true positives, over all objects. */
export function averagePrecision(isTrue, objects) {
  const precision = isTrue.map((_, k) => sum(isTrue.slice(0, k + 1)) / (k + 1));
  return sum(isTrue.map((yes, k) => (yes ? Math.max(...precision.slice(k)) : 0))) / objects;
}

/** Eq. (6): LRP of the detections with these IoUs (0 for a false positive), and the three sums that it is made of. */
export function lrp(ious, objects, tau = 0.5) {
  const found = ious.filter((iou) => iou >= tau);
  const loc = sum(found.map((iou) => (1 - iou) / (1 - tau)));
  const [fp, fn] = [ious.length - found.length, objects - found.length];
  return { value: (loc + fp + fn) / (found.length + fp + fn), loc, fp, fn, tp: found.length };
}

const area = ([x1, y1, x2, y2]) => Math.max(0, x2 - x1) * Math.max(0, y2 - y1);

/** IoU and GIoU of two boxes x1, y1, x2, y2; their intersection and the smallest box around both; both errors. */
export function boxError(a, b, tau = 0.5) {
  const least = a.map((v, k) => Math.min(v, b[k]));
  const most = a.map((v, k) => Math.max(v, b[k]));
  const [both, hull] = [[most[0], most[1], least[2], least[3]], [least[0], least[1], most[2], most[3]]];
  const union = area(a) + area(b) - area(both);
  const iou = area(both) / union;
  const giou = iou - (area(hull) - union) / area(hull);
  return { iou, giou, both, hull, iouError: (1 - iou) / (1 - tau), giouError: (1 - giou) / 2 / (1 - tau) };
}

/** The gradient of `iouError` or `giouError` by the corners of `a`, from central differences. */
export function pull(a, b, name) {
  const moved = (k, by) => boxError(a.map((v, m) => (m === k ? v + by : v)), b)[name];
  return a.map((_, k) => (moved(k, 1e-4) - moved(k, -1e-4)) / 2e-4);
}
