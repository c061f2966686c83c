package ec2sim

import (
	"encoding/json"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
)

func mustPrefix(s string) netip.Prefix { return netip.MustParsePrefix(s) }

// state is an instance's state as DescribeInstances tells it, "" if it does not.
func (h *harness) state(id string) string {
	h.t.Helper()
	out, err := h.ec2.DescribeInstances(h.t.Context(), &ec2.DescribeInstancesInput{Filters: []types.Filter{{Name: aws.String("instance-id"), Values: []string{id}}}})
	if err != nil {
		h.t.Fatal(err)
	}
	if len(out.Reservations) == 0 {
		return ""
	}
	return string(out.Reservations[0].Instances[0].State.Name)
}

func TestLifecycle(t *testing.T) {
	h := start(t, Options{Types: FewTypes(), Delays: &Delays{Pending: 20 * time.Millisecond, Shutdown: 20 * time.Millisecond, Forget: 50 * time.Millisecond}})
	h.template("tpl", nil)
	id := h.launch(h.fleet("tpl", "c", pool("m5.large", "a", "on-demand")))
	eventually(t, "running", func() bool { return h.state(id) == Running })
	status, err := h.ec2.DescribeInstanceStatus(t.Context(), &ec2.DescribeInstanceStatusInput{InstanceIds: []string{id}})
	if err != nil || len(status.InstanceStatuses) != 1 {
		t.Fatalf("%+v, %v", status, err)
	}
	out, err := h.ec2.TerminateInstances(t.Context(), &ec2.TerminateInstancesInput{InstanceIds: []string{id}})
	if err != nil {
		t.Fatal(err)
	}
	if c := out.TerminatingInstances[0]; c.CurrentState.Name != ShuttingDown || c.PreviousState.Name != Running || *c.CurrentState.Code != 32 {
		t.Errorf("%+v", c)
	}
	eventually(t, "terminated", func() bool { s := h.state(id); return s == Terminated || s == "" })
	eventually(t, "forgotten", func() bool { return h.state(id) == "" })
	_, err = h.ec2.TerminateInstances(t.Context(), &ec2.TerminateInstancesInput{InstanceIds: []string{id}})
	if c := code(t, err); c != "InvalidInstanceID.NotFound" {
		t.Errorf("terminating a forgotten instance: %s", c)
	}
	if i := h.Instances(); len(i) != 1 || i[0].Ended.IsZero() || len(h.Alive()) != 0 {
		t.Errorf("the test's own view forgot: %+v", i)
	}
}

func TestTerminateTwice(t *testing.T) {
	h := start(t, Options{Types: FewTypes()})
	h.template("tpl", nil)
	id := h.launch(h.fleet("tpl", "c", pool("m5.large", "a", "on-demand")))
	for range 2 {
		if _, err := h.ec2.TerminateInstances(t.Context(), &ec2.TerminateInstancesInput{InstanceIds: []string{id}}); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "terminated", func() bool { return h.state(id) == Terminated })
	other := h.launch(h.fleet("tpl", "d", pool("m5.large", "a", "on-demand")))
	_, err := h.ec2.TerminateInstances(t.Context(), &ec2.TerminateInstancesInput{InstanceIds: []string{other, "i-0123456789abcdef0"}})
	if c := code(t, err); c != "InvalidInstanceID.NotFound" || len(h.Alive()) != 1 {
		t.Errorf("%s; a request with one wrong ID must end none", c)
	}
}

func TestEventualConsistency(t *testing.T) {
	h := start(t, Options{Types: FewTypes()})
	h.template("old", nil)
	h.Lag(time.Hour)
	h.template("new", nil)
	_, err := h.ec2.CreateFleet(t.Context(), h.fleet("new", "c", pool("m5.large", "a", "on-demand")))
	if c := code(t, err); c != "InvalidLaunchTemplateName.NotFoundException" {
		t.Errorf("a fleet from an unseen template: %q", c)
	}
	id := h.launch(h.fleet("old", "c", pool("m5.large", "a", "on-demand")))
	if s := h.state(id); s != "" {
		t.Errorf("the instance is %s, and should be unseen", s)
	}
	_, err = h.ec2.DescribeInstances(t.Context(), &ec2.DescribeInstancesInput{InstanceIds: []string{id}})
	if c := code(t, err); c != "InvalidInstanceID.NotFound" {
		t.Errorf("describing an unseen instance: %q", c)
	}
	if len(h.Alive()) != 1 {
		t.Error("the instance is not there at all")
	}
	h.Lag(0)
	second := h.launch(h.fleet("old", "d", pool("m5.large", "a", "on-demand")))
	if s := h.state(second); s != Pending && s != Running {
		t.Errorf("after the lag the instance is %q", s)
	}
}

func TestDescribeInstancesByTag(t *testing.T) {
	h := start(t, Options{Types: FewTypes()})
	h.template("tpl", nil)
	var last string
	for _, token := range []string{"a1", "a2", "b1", "b2", "b3", "b4", "b5"} {
		last = h.launch(h.fleet("tpl", token, pool("m5.large", "a", "spot")))
	}
	if _, err := h.ec2.CreateTags(t.Context(), &ec2.CreateTagsInput{Resources: []string{last}, Tags: []types.Tag{{Key: aws.String("Name"), Value: aws.String("x/y")}}}); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		filter types.Filter
		want   int
	}{
		{types.Filter{Name: aws.String("tag:karpenter.sh/nodeclaim"), Values: []string{"a1", "b1"}}, 2},
		{types.Filter{Name: aws.String("tag:karpenter.sh/nodeclaim"), Values: []string{"b?"}}, 5},
		{types.Filter{Name: aws.String("tag-key"), Values: []string{"Name"}}, 1},
		{types.Filter{Name: aws.String("tag:Name"), Values: []string{"x*"}}, 1},
		{types.Filter{Name: aws.String("tag-key"), Values: []string{"karpenter.sh/*"}}, 7},
		{types.Filter{Name: aws.String("instance-lifecycle"), Values: []string{"spot"}}, 7},
		{types.Filter{Name: aws.String("instance-state-name"), Values: []string{"stopped"}}, 0},
		{types.Filter{Name: aws.String("instance-state-name"), Values: []string{"pending", "running"}}, 7},
	} {
		n, pages := 0, ec2.NewDescribeInstancesPaginator(h.ec2, &ec2.DescribeInstancesInput{MaxResults: aws.Int32(5), Filters: []types.Filter{c.filter}})
		for pages.HasMorePages() {
			out, err := pages.NextPage(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			n += len(out.Reservations)
		}
		if n != c.want {
			t.Errorf("%s=%v: %d, want %d", *c.filter.Name, c.filter.Values, n, c.want)
		}
	}
}

func TestInterruption(t *testing.T) {
	h := start(t, Options{Types: FewTypes(), Queue: "events", Delays: &Delays{Forget: time.Hour, Warning: 30 * time.Millisecond}})
	h.template("tpl", nil)
	q := sqs.NewFromConfig(h.aws)
	url, err := q.GetQueueUrl(t.Context(), &sqs.GetQueueUrlInput{QueueName: aws.String("events")})
	if err != nil {
		t.Fatal(err)
	}
	onDemand := h.launch(h.fleet("tpl", "o", pool("m5.large", "a", "on-demand")))
	if h.Interrupt(onDemand) {
		t.Error("an on-demand instance was interrupted")
	}
	id := h.launch(h.fleet("tpl", "s", pool("m5.large", "a", "spot")))
	if !h.Interrupt(id) {
		t.Fatal("the spot instance was not interrupted")
	}
	var warned, ended bool
	for !warned || !ended {
		out, err := q.ReceiveMessage(t.Context(), &sqs.ReceiveMessageInput{QueueUrl: url.QueueUrl, MaxNumberOfMessages: 10, WaitTimeSeconds: 20})
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range out.Messages {
			var e struct {
				Kind   string            `json:"detail-type"`
				Source string            `json:"source"`
				Detail map[string]string `json:"detail"`
			}
			if err := json.Unmarshal([]byte(*m.Body), &e); err != nil {
				t.Fatal(err)
			}
			warned = warned || e.Kind == "EC2 Spot Instance Interruption Warning" && e.Detail["instance-id"] == id && e.Detail["instance-action"] == "terminate" && e.Source == "aws.ec2"
			ended = ended || e.Kind == "EC2 Instance State-change Notification" && e.Detail["instance-id"] == id && e.Detail["state"] == Terminated
			if _, err := q.DeleteMessage(t.Context(), &sqs.DeleteMessageInput{QueueUrl: url.QueueUrl, ReceiptHandle: m.ReceiptHandle}); err != nil {
				t.Fatal(err)
			}
		}
	}
	if n := h.QueueLength(); n != 0 {
		t.Errorf("%d messages left", n)
	}
	if s := h.state(onDemand); s != Running && s != Pending {
		t.Errorf("the other instance is %s", s)
	}
}

func TestTerminateBehindOurBack(t *testing.T) {
	h := start(t, Options{Types: FewTypes()})
	h.template("tpl", nil)
	id := h.launch(h.fleet("tpl", "c", pool("m5.large", "a", "on-demand")))
	if !h.Terminate(id) || h.Terminate(id) || h.Terminate("i-00000000") {
		t.Error("Terminate must end a living instance, once")
	}
	eventually(t, "terminated", func() bool { return h.state(id) == Terminated })
	if n := h.Calls("TerminateInstances"); n != 0 {
		t.Errorf("%d calls of the API", n)
	}
}

func TestHooks(t *testing.T) {
	h := start(t, Options{Types: FewTypes()})
	h.template("tpl", nil)
	seen := -1
	h.After("CreateFleet", func() { seen = len(h.Instances()) })
	h.Record(true)
	h.launch(h.fleet("tpl", "c", pool("m5.large", "a", "on-demand")))
	if seen != 1 {
		t.Errorf("the hook saw %d instances, want 1", seen)
	}
	r := h.Requests("CreateFleet")
	if len(r) != 1 || r[0].Form.Get("LaunchTemplateConfigs.1.Overrides.1.InstanceType") != "m5.large" || h.AllCalls()["CreateFleet"] != 1 {
		t.Errorf("journal %+v", r)
	}
}

func TestImpaired(t *testing.T) {
	h := start(t, Options{Types: FewTypes()})
	h.template("tpl", nil)
	id := h.launch(h.fleet("tpl", "c", pool("m5.large", "a", "on-demand")))
	eventually(t, "running", func() bool { return h.state(id) == Running })
	h.Impair(id)
	out, err := h.ec2.DescribeInstanceStatus(t.Context(), &ec2.DescribeInstanceStatusInput{})
	if err != nil || out.InstanceStatuses[0].SystemStatus.Status != "impaired" || out.InstanceStatuses[0].SystemStatus.Details[0].ImpairedSince == nil {
		t.Errorf("%+v, %v", out, err)
	}
	begins := time.Date(2026, 3, 16, 12, 0, 0, 0, time.UTC)
	h.Plan(id, "instance-retirement", "The instance is to be retired", begins)
	other := h.launch(h.fleet("tpl", "d", pool("m5.large", "a", "on-demand")))
	eventually(t, "running", func() bool { return h.state(other) == Running })
	for name, value := range map[string]string{"instance-status.status": "impaired", "system-status.status": "impaired", "event.code": "instance-retirement"} {
		out, err := h.ec2.DescribeInstanceStatus(t.Context(), &ec2.DescribeInstanceStatusInput{Filters: []types.Filter{{Name: &name, Values: []string{value}}}})
		if err != nil || len(out.InstanceStatuses) != 1 || *out.InstanceStatuses[0].InstanceId != id || !out.InstanceStatuses[0].Events[0].NotBefore.Equal(begins) {
			t.Errorf("%s=%s: %+v, %v", name, value, out, err)
		}
	}
}

func TestPriceChanges(t *testing.T) {
	h := start(t, Options{Types: FewTypes()})
	spot := pool("m5.large", "b", "spot")
	h.SetPrice(spot, 12345)
	out, err := h.ec2.DescribeSpotPriceHistory(t.Context(), &ec2.DescribeSpotPriceHistoryInput{
		StartTime: aws.Time(time.Now()), InstanceTypes: []types.InstanceType{"m5.large"}, ProductDescriptions: []string{"Linux/UNIX"},
		AvailabilityZone: aws.String("us-west-2b")})
	if err != nil || len(out.SpotPriceHistory) != 1 || *out.SpotPriceHistory[0].SpotPrice != "0.012345" {
		t.Fatalf("%+v, %v", out, err)
	}
	h.SetPrice(spot, -1)
	n, pages := 0, ec2.NewDescribeSpotPriceHistoryPaginator(h.ec2, &ec2.DescribeSpotPriceHistoryInput{MaxResults: aws.Int32(7)})
	for pages.HasMorePages() {
		out, err := pages.NextPage(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		n += len(out.SpotPriceHistory)
	}
	if want := 3*len(FewTypes()) - 1; n != want {
		t.Errorf("%d spot prices, want %d: one pool is off the market", n, want)
	}
	h.template("tpl", nil)
	h.SetPrice(pool("m5.large", "a", "on-demand"), 1_000_000)
	h.launch(h.fleet("tpl", "c", pool("m5.large", "c", "on-demand")))
	if got := h.Hourly(); got != 1_000_000 {
		t.Errorf("%d micro-dollars an hour", got)
	}
}

// TestSpotPriceHistory: the changes since StartTime, and the last one before it, page by page.
func TestSpotPriceHistory(t *testing.T) {
	h := start(t, Options{Types: FewTypes()})
	spot := pool("m5.large", "b", "spot")
	noon := time.Now().Add(-24 * time.Hour).Truncate(time.Second).UTC()
	for i, micro := range []int64{10_000, 20_000, 30_000, 40_000} {
		h.SetPriceAt(spot, micro, noon.Add(time.Duration(i)*time.Hour))
	}
	for since, want := range map[time.Duration]string{
		-time.Hour: "0.010000 0.020000 0.030000 0.040000", 90 * time.Minute: "0.020000 0.030000 0.040000", 2 * time.Hour: "0.030000 0.040000", 9 * time.Hour: "0.040000",
	} {
		var prices []string
		pages := ec2.NewDescribeSpotPriceHistoryPaginator(h.ec2, &ec2.DescribeSpotPriceHistoryInput{
			StartTime: aws.Time(noon.Add(since)), InstanceTypes: []types.InstanceType{"m5.large"}, AvailabilityZone: aws.String("us-west-2b"), MaxResults: aws.Int32(1)})
		for pages.HasMorePages() {
			out, err := pages.NextPage(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			for _, p := range out.SpotPriceHistory {
				prices = append(prices, *p.SpotPrice)
			}
		}
		if got := strings.Join(prices, " "); got != want {
			t.Errorf("since %v the prices are %s, want %s", since, got, want)
		}
	}
	if price, _ := h.Price(spot); price != 40_000 {
		t.Errorf("the price now is %d", price)
	}
}
