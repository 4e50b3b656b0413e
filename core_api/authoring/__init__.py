"""What an exam is made of: terms, passages, questions and the evaluations that gather and freeze them."""
