coalesce(getvariable('warehouse'), '{location}')
