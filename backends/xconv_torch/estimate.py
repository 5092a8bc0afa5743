def seconds(formulations, direction, problem, layout):
    return {}
