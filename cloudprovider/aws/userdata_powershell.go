package aws

import (
	"regexp"
	"strings"
)

// windowsTag is what EC2's launch agents on Windows find scripts by.
var windowsTag = regexp.MustCompile(`(?i)</?(powershell|script)>`)

// windows is a PowerShell script: the user's, and then a call of the image's
// Start-EKSBootstrap.ps1.
func (b bootstrap) windows() (string, error) {
	// A second pair of tags would end the first, and our half would not be run.
	if tag := windowsTag.FindString(b.spec.UserData); tag != "" {
		return "", badUserData("it is put between <powershell> tags, and cannot hold %s itself", tag)
	}
	flags, err := b.kubeletFlags()
	if err != nil {
		return "", err
	}
	call := []string{`& "$env:ProgramFiles\Amazon\EKS\Start-EKSBootstrap.ps1"`}
	option := func(name, value string) {
		if value != "" {
			call = append(call, "  -"+name+" "+powershellQuote(value))
		}
	}
	option("EKSClusterName", b.cluster.Name)
	option("APIServerEndpoint", b.cluster.Endpoint)
	option("Base64ClusterCA", b.cluster.CABundle)
	option("DNSClusterIP", b.dns())
	option("ServiceCIDR", b.cluster.ServiceCIDR)
	option("KubeletExtraArgs", strings.Join(flags, " "))
	user := b.spec.UserData
	if user != "" && !strings.HasSuffix(user, "\n") {
		user += "\n"
	}
	return "<powershell>\n" + user + strings.Join(call, " `\n") + "\n</powershell>\n", nil
}

// powershellQuotes are what PowerShell takes for a single quote; two of them are
// one in the text.
var powershellQuotes = strings.NewReplacer("'", "''", "\u2018", "\u2018\u2018", "\u2019", "\u2019\u2019", "\u201a", "\u201a\u201a", "\u201b", "\u201b\u201b")

// powershellQuote makes one word of s for PowerShell, whatever is in it.
func powershellQuote(s string) string { return "'" + powershellQuotes.Replace(s) + "'" }
