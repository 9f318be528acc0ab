# What the scripts of this folder share.

command -v mpirun >/dev/null || { echo "skipped: there is no mpirun (openmpi-bin)"; exit 77; }

# Containers: run as root, more processes than processors, no ptrace between processes.
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 OMPI_MCA_rmaps_base_oversubscribe=1
export OMPI_MCA_btl_vader_single_copy_mechanism=none OMPI_MCA_hwloc_base_binding_policy=none

n_failed=0
failed() {
    echo "FAILED: $*"
    n_failed=$((n_failed + 1))
}
finish() { [ $n_failed = 0 ]; }
