// Written by measured.py from figures/data/length/results.csv: metrics in points, a number for each seed.
// Self-balance has no weight.
export default [
  {"error": "giou", "weight": 1, "AP": [64.71, 64.71], "AP50": [90.51, 90.99], "AP75": [74.87, 74.22], "AP90": [23.88, 24.34], "oLRP": [42.84, 42.65]},
  {"error": "giou", "weight": 2, "AP": [67.3], "AP50": [91.05], "AP75": [77.72], "AP90": [30.59], "oLRP": [39.8]},
  {"error": "giou", "weight": 5, "AP": [67.97], "AP50": [90.44], "AP75": [77.39], "AP90": [35.21], "oLRP": [39.82]},
  {"error": "giou", "weight": 10, "AP": [67.61], "AP50": [89.45], "AP75": [76.58], "AP90": [35.75], "oLRP": [40.32]},
  {"error": "giou", "weight": 20, "AP": [66.73], "AP50": [88.53], "AP75": [76.08], "AP90": [34.48], "oLRP": [41.37]},
  {"error": "giou", "weight": 50, "AP": [59.58], "AP50": [83.59], "AP75": [68.88], "AP90": [21.59], "oLRP": [48.7]},
  {"error": "giou", "weight": null, "AP": [66.41, 67.02, 66.62], "AP50": [89.83, 90.1, 89.8], "AP75": [76.01, 76.39, 75.79], "AP90": [31.33, 32.83, 31.32], "oLRP": [41.53, 40.77, 41.42]},
  {"error": "iou", "weight": 1, "AP": [65.31], "AP50": [90.0], "AP75": [75.17], "AP90": [26.92], "oLRP": [42.03]},
  {"error": "iou", "weight": 5, "AP": [67.08], "AP50": [89.35], "AP75": [76.15], "AP90": [33.68], "oLRP": [40.76]},
  {"error": "iou", "weight": 10, "AP": [66.35], "AP50": [88.22], "AP75": [75.39], "AP90": [33.55], "oLRP": [41.67]},
  {"error": "iou", "weight": null, "AP": [65.85], "AP50": [89.36], "AP75": [75.76], "AP90": [29.9], "oLRP": [41.8]},
];
