def forget_everything(): 
    from moto.core.base_backend import BackendDict
    for b in BackendDict._instances: b.clear()
    BackendDict._instances.clear()
def everything(all=False): return {}
