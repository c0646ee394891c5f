"""The control plane behind a cluster, where Kubernetes is on; nothing at all where it is not."""

import base64


def start(backend, cluster, become_active):
    """A real one, in the background; the cluster cannot be active before it answers."""
    from ..kubernetes.planes import PLANES

    def when_over(plane):
        from ..gateway import STATE

        with STATE:
            if backend.clusters.get(cluster.name) is not cluster or cluster.status != "CREATING":
                return
            if plane.failure:
                cluster.status = "FAILED"
            elif cluster.is_due:
                become_active()

    cluster.plane = PLANES.start(cluster, when_over)
    cluster.endpoint = cluster.plane.endpoint
    cluster.authority_data = base64.b64encode(cluster.plane.authority_pem).decode()


def stop(cluster):
    """It goes with its cluster."""
    if cluster.plane is not None:
        from ..kubernetes.planes import PLANES

        PLANES.stop(cluster.plane)


def open_and_close(cluster):
    """Its door learns who may come in from outside."""
    if cluster.plane is not None:
        from ..kubernetes.planes import PLANES

        PLANES.tell(cluster.plane)
