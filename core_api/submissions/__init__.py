"""What was handed in: finalisation, scores, grades, receipts, observations, attempts that expire."""
