-- What a row of a dataset is.
COMMENT ON VIEW {name} IS '{about}';
