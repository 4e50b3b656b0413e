"""What was handed in: finalisation, scores, grades, receipts, attempts that expire."""
