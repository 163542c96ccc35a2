#!/bin/sh
# Slurm on this one machine, from Debian's or Ubuntu's own packages: to try a sweep with hydra/launcher=submitit_slurm
# before a cluster gets it, or to queue a workstation's runs. As root: sh examples/slurm_single_node.sh
# It writes /etc/slurm/slurm.conf, and refuses where there is one. `scontrol shutdown` ends it.
set -eu

conf=/etc/slurm/slurm.conf
if [ -e "$conf" ]; then
    echo "$conf: there is one already, expected a machine without Slurm" >&2
    exit 2
fi

export DEBIAN_FRONTEND=noninteractive
apt-get update
apt-get install --yes --no-install-recommends munge slurmctld slurmd slurm-client

# `slurmd -C` says what the machine has. An eighth of the memory is left to everything else.
node=$(slurmd -C | head -n 1 | sed 's/ RealMemory=.*//')
memory=$(slurmd -C | sed -n 's/.*RealMemory=\([0-9]*\).*/\1/p')
cat > "$conf" <<END
ClusterName=single
SlurmctldHost=$(hostname -s)
SlurmUser=slurm
AuthType=auth/munge
StateSaveLocation=/var/lib/slurm/slurmctld
SlurmdSpoolDir=/var/lib/slurm/slurmd
SlurmctldPidFile=/run/slurmctld.pid
SlurmdPidFile=/run/slurmd.pid
SlurmctldLogFile=/var/log/slurm/slurmctld.log
SlurmdLogFile=/var/log/slurm/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
DefMemPerCPU=$((memory * 7 / 8 / $(nproc)))
ReturnToService=2
MpiDefault=none
$node RealMemory=$((memory * 7 / 8)) State=UNKNOWN
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP
END
install -d -o slurm -g slurm /var/lib/slurm/slurmctld /var/lib/slurm/slurmd /var/log/slurm

if [ -d /run/systemd/system ]; then
    systemctl restart munge slurmctld slurmd
else # a container
    install -d -o munge -g munge /run/munge
    su -s /bin/sh munge -c /usr/sbin/munged
    slurmctld
    slurmd
fi

for _ in $(seq 30); do
    sinfo --noheader --format=%t 2> /dev/null | grep -q idle && break
    sleep 1
done
sinfo
