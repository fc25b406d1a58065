"""What trains or measures for the pages: long runs, positives in groups, the cost of the loss, the toy."""
