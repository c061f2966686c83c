package ec2sim

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// cloudInit runs user data: it is a script, or a MIME archive with scripts among
// its parts, which run one after the other.
func cloudInit(userData []byte, cluster Cluster) (*kubelet, error) {
	parts, err := mimeParts(userData)
	if err != nil {
		return nil, err
	}
	if parts == nil {
		parts = []mimePart{{"text/x-shellscript", userData}}
	}
	var joined *kubelet
	for _, p := range parts {
		if p.kind != "text/x-shellscript" {
			continue
		}
		k, err := runScript(string(p.body), cluster)
		if err != nil {
			return nil, err
		}
		if k != nil {
			joined = k // bootstrap.sh writes anew what an earlier call wrote
		}
	}
	if joined == nil {
		return nil, errors.New("user data ran to its end, and nothing started kubelet")
	}
	return joined, nil
}

// runScript runs as much of a shell script as joining needs: the call of
// /etc/eks/bootstrap.sh, whose arguments it reads with the shell's quoting. It
// expands no variables. Without a call there is no kubelet.
func runScript(script string, cluster Cluster) (*kubelet, error) {
	if !strings.HasPrefix(script, "#!") {
		return nil, errors.New("running user data: exec format error, since the script does not begin with a shebang")
	}
	// Running a real shell would be easier and would let a test's input do anything on
	// the machine of whoever runs it.
	commands, err := shellCommands(script)
	if err != nil {
		return nil, fmt.Errorf("running user data: %w", err)
	}
	for _, c := range commands {
		if c[0] == "/etc/eks/bootstrap.sh" {
			return bootstrapSh(c[1:], cluster)
		}
	}
	return nil, nil
}

// bootstrapSh is /etc/eks/bootstrap.sh. It asks EKS for what it is not told.
func bootstrapSh(args []string, cluster Cluster) (*kubelet, error) {
	k := newKubelet()
	name, endpoint, ca, extra := "", cluster.Endpoint, "", ""
	for len(args) > 0 {
		arg := args[0]
		args = args[1:]
		// The cluster's name may stand anywhere between the options.
		if !strings.HasPrefix(arg, "--") {
			if name != "" {
				return nil, fmt.Errorf("bootstrap.sh: a second cluster name, %q", arg)
			}
			name = arg
			continue
		}
		if len(args) == 0 {
			return nil, fmt.Errorf("bootstrap.sh: %s needs a value", arg)
		}
		value := args[0]
		args = args[1:]
		switch arg {
		case "--apiserver-endpoint":
			endpoint = value
		case "--b64-cluster-ca":
			ca = value
		case "--kubelet-extra-args":
			extra = value
		case "--dns-cluster-ip":
			k.clusterDNS = []string{value}
		case "--use-max-pods":
			if value == "false" {
				k.maxPods = 110 // kubelet's own default
			}
		case "--local-disks":
			switch value {
			case "raid0", "raid10":
				k.raid = true
			case "mount": // each disk at a path of its own
			default:
				return nil, fmt.Errorf("bootstrap.sh: local disks cannot be set up as %q", value)
			}
		// Known to the script, and without consequence here.
		case "--container-runtime", "--ip-family", "--service-ipv6-cidr", "--pause-container-account", "--pause-container-version", "--enable-local-outpost", "--cluster-id":
		default:
			return nil, fmt.Errorf("bootstrap.sh: unknown argument %s", arg)
		}
	}
	if name == "" {
		return nil, errors.New("bootstrap.sh: cluster name is not defined")
	}
	// Without a CA the script asks eks:DescribeCluster, which knows one cluster.
	if ca == "" && name == cluster.Name {
		ca = encodeCA(cluster)
	}
	if err := k.cluster(cluster, name, endpoint, ca); err != nil {
		return nil, err
	}
	// The script writes them into a unit of systemd, between single quotes.
	if strings.ContainsAny(extra, "'\\") {
		return nil, fmt.Errorf("starting kubelet: systemd cannot parse KUBELET_EXTRA_ARGS=%s", extra)
	}
	k.checkDNS(cluster)
	return k, k.flags(strings.Fields(extra))
}

// flags reads a kubelet command line, in which a value follows "=" or a blank.
func (k *kubelet) flags(args []string) error {
	for len(args) > 0 {
		name, value, ok := strings.Cut(args[0], "=")
		args = args[1:]
		if !strings.HasPrefix(name, "-") {
			return fmt.Errorf("starting kubelet: unknown command %q", name)
		}
		// A flag without a value is a boolean. To take the next flag for its value would
		// swallow that one.
		if !ok && len(args) > 0 && !strings.HasPrefix(args[0], "-") {
			value, args = args[0], args[1:]
		}
		// systemd and Windows take quotes off that stand around a value.
		if n := len(value); n > 1 && value[0] == '"' && value[n-1] == '"' {
			value = value[1 : n-1]
		}
		if err := k.flag(strings.TrimLeft(name, "-"), value); err != nil {
			return err
		}
	}
	return nil
}

// flag sets one flag. Flags win over the configuration.
func (k *kubelet) flag(name, value string) error {
	var err error
	switch name {
	case "node-labels":
		err = k.label(value)
	case "register-with-taints":
		err = k.taint(value)
	case "max-pods":
		k.maxPods, err = strconv.Atoi(value)
	case "pods-per-core":
		k.podsPerCore, err = strconv.Atoi(value)
	case "kube-reserved":
		k.kubeReserved, err = pairs(value, "=")
		k.reserve = nil // a flag replaces the whole map that the image's file has
	case "system-reserved":
		k.systemReserved, err = pairs(value, "=")
	case "eviction-hard":
		k.evictionHard, err = pairs(value, "<")
	case "cluster-dns":
		k.clusterDNS = strings.Split(value, ",")
	default:
		if slices.Contains(idleFlags, name) {
			return nil
		}
		return fmt.Errorf("starting kubelet: unknown flag: --%s", name)
	}
	if err != nil {
		return fmt.Errorf("starting kubelet: invalid argument %q for \"--%s\" flag: %w", value, name, err)
	}
	return nil
}

// idleFlags are known to kubelet, and without consequence here.
var idleFlags = strings.Fields(`v node-ip hostname-override feature-gates image-gc-high-threshold image-gc-low-threshold eviction-soft
	eviction-soft-grace-period eviction-max-pod-grace-period eviction-minimum-reclaim eviction-pressure-transition-period cpu-cfs-quota
	cpu-cfs-quota-period registry-qps registry-burst event-qps event-burst kube-api-qps kube-api-burst serialize-image-pulls
	rotate-server-certificates cpu-manager-policy cpu-manager-policy-options cpu-manager-reconcile-period topology-manager-policy
	topology-manager-scope memory-manager-policy reserved-memory pod-max-pids allowed-unsafe-sysctls container-log-max-size container-log-max-files
	cluster-domain seccomp-default read-only-port protect-kernel-defaults max-open-files runtime-request-timeout fail-swap-on
	node-status-max-images node-status-update-frequency streaming-connection-idle-timeout make-iptables-util-chains resolv-conf`)

// pairs reads key=value,key=value.
func pairs(s, by string) (map[string]string, error) {
	out := map[string]string{}
	for p := range strings.SplitSeq(s, ",") {
		if p == "" {
			continue
		}
		key, value, ok := strings.Cut(p, by)
		if !ok {
			return nil, fmt.Errorf("%q is not of the form key%svalue", p, by)
		}
		out[key] = value
	}
	return out, nil
}

// shellCommands splits a script into commands and those into words, with quotes,
// backslashes and comments; ; & | and line ends part commands.
func shellCommands(script string) ([][]string, error) {
	l := lexer{}
	for i := 0; i < len(script); i++ {
		c := script[i]
		switch {
		// A backslash before a line end joins the lines: calls of bootstrap.sh are long.
		case c == '\\' && i+1 < len(script):
			i++
			if script[i] != '\n' {
				l.put(script[i])
			}
		case c == '\'' || c == '"':
			end, err := l.quoted(script, i)
			if err != nil {
				return nil, err
			}
			i = end
		case c == '#' && !l.inWord:
			for i+1 < len(script) && script[i+1] != '\n' {
				i++
			}
		case c == ' ' || c == '\t' || c == '\r':
			l.endWord()
		case c == '\n' || c == ';' || c == '&' || c == '|':
			l.endCommand()
		default:
			l.put(c)
		}
	}
	l.endCommand()
	return l.commands, nil
}

// A lexer gathers words and commands.
type lexer struct {
	commands [][]string
	words    []string
	word     strings.Builder
	inWord   bool
}

// put adds a byte to the word.
func (l *lexer) put(c byte) {
	l.word.WriteByte(c)
	l.inWord = true
}

// quoted takes in a quoted string that begins at i, and returns where it ends.
func (l *lexer) quoted(script string, i int) (int, error) {
	quote := script[i]
	l.inWord = true
	for i++; i < len(script); i++ {
		switch c := script[i]; {
		case c == quote:
			return i, nil
		case c == '\\' && quote == '"' && i+1 < len(script) && strings.IndexByte("\"\\$`\n", script[i+1]) >= 0:
			i++
			if script[i] != '\n' {
				l.word.WriteByte(script[i])
			}
		default:
			l.word.WriteByte(c)
		}
	}
	return 0, fmt.Errorf("unexpected end of file while looking for matching %q", quote)
}

// endWord ends the word, if there is one; quotes make an empty one.
func (l *lexer) endWord() {
	if l.inWord {
		l.words = append(l.words, l.word.String())
		l.word.Reset()
		l.inWord = false
	}
}

// endCommand ends the command, if it has any word.
func (l *lexer) endCommand() {
	l.endWord()
	if len(l.words) > 0 {
		l.commands = append(l.commands, l.words)
		l.words = nil
	}
}
