package corpus

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"

	corev1 "k8s.io/api/core/v1"
)

// ReadPods reads a pod list: CSV with a header that names at least the columns
// class, count, cpu_milli, mem_mib and gpu. A row is a number of equal pods. Where
// apart is set and there is a column max_per_node, so many pods of a row may share
// a node. Other columns mean nothing here: shares of a GPU count as a whole one.
func ReadPods(r io.Reader, apart bool) ([]*corev1.Pod, error) {
	rows := csv.NewReader(r)
	header, err := rows.Read()
	if err != nil {
		return nil, fmt.Errorf("reading the header of a pod list: %w", err)
	}
	for _, need := range []string{"class", "count", "cpu_milli", "mem_mib", "gpu"} {
		if !slices.Contains(header, need) {
			return nil, fmt.Errorf("reading a pod list: there is no column %s", need)
		}
	}
	var pods []*corev1.Pod
	for {
		row, err := rows.Read()
		if errors.Is(err, io.EOF) {
			return pods, nil
		}
		if err != nil {
			return nil, fmt.Errorf("reading a pod list: %w", err)
		}
		value := func(column string) (n int64) {
			i := slices.Index(header, column)
			if i < 0 || row[i] == "" {
				return 0
			}
			n, e := strconv.ParseInt(row[i], 10, 64)
			err = errors.Join(err, e)
			return n
		}
		d := deployment{
			name: row[slices.Index(header, "class")], replicas: int(value("count")),
			cpuMilli: value("cpu_milli"), memory: value("mem_mib") * mib, gpus: value("gpu"),
		}
		if perNode := value("max_per_node"); apart && perNode == 1 {
			d.shape = separate
		} else if apart && perNode > 1 {
			d.shape = func(p *corev1.Pod) { spread(p, corev1.LabelHostname, int32(perNode), p.Labels) }
		}
		if err != nil {
			line, _ := rows.FieldPos(0)
			return nil, fmt.Errorf("reading line %d of a pod list: %w", line, err)
		}
		pods = append(pods, d.pods()...)
	}
}
